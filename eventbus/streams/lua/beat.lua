-- Renew the lease of entries that this consumer still holds.
--
-- KEYS  1 the stream the entries are in   2 the group's hash
-- ARGV  1 group   2 consumer   3 the token known when the entries were read   4… ids
-- Returns {the ids that were renewed, the ids whose entry was cut from the stream}; -1 when the group is
--       another one now
--
-- Atomic because: XCLAIM with an idle time of 0 takes a row from whoever owns it, so that it may only follow a
-- look at the owner in the same step. JUSTID keeps the delivery count. From 7.0 on XCLAIM drops the row of an
-- entry that was cut, without a word: such a row is left as it is, to become a tombstone if this process dies.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end
local kept, cut = {}, {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if rows.err then return -1 end
  if #rows == 1 then
    local there = #redis.call('XRANGE', KEYS[1], id, id) == 1
    local found = there and kept or cut
    found[#found + 1] = id
  end
end
for _, id in ipairs(kept) do redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID') end
return {kept, cut}
