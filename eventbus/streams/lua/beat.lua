-- Renew the lease of entries that this consumer still holds.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered
-- ARGV  1 group   2 consumer   3 the token known when the entries were read   4… ids
-- Returns {the ids that were renewed, the ids whose entry was cut from the stream}; -1 when the group is
--       another one now
--
-- Atomic because: XCLAIM with an idle time of 0 takes a row from whoever owns it, so that it may only follow a
-- look at the owner in the same step. JUSTID keeps the delivery count. From 7.0 on XCLAIM drops the row of an
-- entry that was cut, without a word: such a row is left as it is, to become a tombstone if this process dies.
--
-- Cost: the stream's oldest and newest entry; further payloads only of ids not after the latest one that was ever
-- deleted (a private stream deletes what is settled), and on 6.2, which does not tell that id, of all of them.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end

local function less(one, two)
  local a, b = string.match(one, '^(%d+)-'), string.match(two, '^(%d+)-')
  if a ~= b then return #a < #b or (#a == #b and a < b) end
  a, b = string.match(one, '-(%d+)$'), string.match(two, '-(%d+)$')
  return #a < #b or (#a == #b and a < b)
end

local first, deleted
local about = redis.pcall('XINFO', 'STREAM', KEYS[1])
for i = 1, #about, 2 do
  if about[i] == 'first-entry' then first = about[i + 1] and about[i + 1][1] end
  if about[i] == 'max-deleted-entry-id' then deleted = about[i + 1] end
end

-- What has a row was there once: trimming takes from the beginning, and of what was deleted Redis knows the latest id.
local function there(id)
  if first and deleted and less(deleted, id) and not less(id, first) then return true end
  return #redis.call('XRANGE', KEYS[1], id, id) == 1
end

local mine, kept, cut = {}, {}, {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if rows.err then return -1 end
  if #rows == 1 then
    local found = there(id) and mine or cut
    found[#found + 1] = id
  end
end
-- Data of a 6.2 that 7.0 loaded does not know what was deleted: there XCLAIM says so, and the row is gone.
for _, id in ipairs(mine) do
  local claimed = #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID') == 1
  local found = claimed and kept or cut
  found[#found + 1] = id
end
return {kept, cut}
