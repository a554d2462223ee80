-- Count the start of entries that were claimed before, so that starts that are lost with their process show.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered
-- ARGV  1 group   2 consumer   3 the token known when the entries were claimed   4… for each
--       entry its id and the delivery count it was handed over with
-- Returns the ids that are this consumer's; -1 when the group is another one now
--
-- Atomic because: XCLAIM takes the row from whoever owns it, and sets its count to the one just looked at and one
-- more. It renews the lease, too. JUSTID keeps the payload out of its reply. The row of an entry that was cut from the
-- stream is left as it is (see beat.lua, also for the cost).
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

local marked = {}
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if rows.err then return -1 end
  if #rows == 1 then
    local count = rows[1][4]
    if count == tonumber(ARGV[i + 1]) and there(id) then
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', count + 1, 'JUSTID')
    end
    marked[#marked + 1] = id
  end
end
return marked
