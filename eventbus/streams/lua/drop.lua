-- Settle entries of a type that no member of the group ever declared: the group has no work with them.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered   3 the group's types
--       4 the group's hash   5 the attempts of the stream's entries, where it is ordered
-- ARGV  1 group   2 consumer   3 the token known when the entries were read   4 "1" when the source is private
--       then an id and its event type in turn
-- Returns a number for each entry: 1 dropped, 2 taken (its row is another consumer's), 3 gone (no row),
--       4 declared (a member of the group knows the type); or -1 for all: the group is another one now
--
-- Atomic because: the type may be declared, or the row claimed by a member that knows it, between a look and
-- the acknowledgement; the event would be gone. The registry is read here, on the server: a cached one may
-- be older than the event.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local facts = redis.call('HMGET', KEYS[4], 'healed', 'lease')
local incomplete = redis.call('EXISTS', KEYS[3]) == 0 or now - (tonumber(facts[1]) or 0) < (tonumber(facts[2]) or 0)

local function drop(id, name)
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1)
  if rows.err then return -1 end
  if #rows == 0 then return 3 end
  if rows[1][2] ~= ARGV[2] then return 2 end
  if incomplete or redis.call('HEXISTS', KEYS[3], name) == 1 then return 4 end
  redis.call('XACK', KEYS[1], ARGV[1], id)
  if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], id) end
  if KEYS[5] then redis.call('HDEL', KEYS[5], id) end
  return 1
end

local answers = {}
for at = 5, #ARGV, 2 do
  local answer = drop(ARGV[at], ARGV[at + 1])
  if answer == -1 then return -1 end
  answers[#answers + 1] = answer
end
return answers
