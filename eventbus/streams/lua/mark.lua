-- Count the start of entries that were claimed before, so that starts that are lost with their process show.
--
-- KEYS  1 the stream the entries are in   2 the group's hash
-- ARGV  1 group   2 consumer   3 the token known when the entries were claimed   4… for each
--       entry its id and the delivery count it was handed over with
-- Returns the ids that are this consumer's; -1 when the group is another one now
--
-- Atomic because: XCLAIM without JUSTID adds one to the delivery count of whoever's row it is. It renews the
-- lease, too. The row of an entry that was cut from the stream is left as it is (see beat.lua).
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end
local marked = {}
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if rows.err then return -1 end
  if #rows == 1 then
    local there = #redis.call('XRANGE', KEYS[1], id, id) == 1
    if there and rows[1][4] == tonumber(ARGV[i + 1]) then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id) end
    marked[#marked + 1] = id
  end
end
return marked
