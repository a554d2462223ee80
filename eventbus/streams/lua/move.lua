-- Move entries out of a stream into another of the group's streams: to be retried, released or dead-lettered.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered   3 the destination
--       4 the group's due times   5 the group's types   6 the group's hash   7 the attempts of the stream's entries, where
--       it is ordered
-- ARGV  1 group   2 consumer   3 the token known when the entries were read   4 "1" when the source is private
--       then for each entry: its id, milliseconds until it is due (-1 where no time is kept), the type and the
--       version that nobody may have declared ("" and 0 for no such condition), the number of names and values
--       of the copy, those names and values
-- Returns a number for each entry: 1 moved, 2 taken (its row is another consumer's), 3 gone (no row),
--       4 declared (a member of the group knows the type); or -1 for all: the group is another one now
--
-- Atomic because: a crash between the copy and the acknowledgement would double the event, or lose it the
-- other way round; and the fence (the row is still this consumer's, in the group it was read from) holds
-- only for the step that looks at it. XADD stands first: at maxmemory it is refused before anything changed.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Liveness of a member never decides. A registry that is gone, or was made anew less than a lease ago, is not complete.
local function declared(name, version)
  local known = redis.call('HGET', KEYS[5], name)
  if known and (tonumber(known) or 0) >= version then return true end
  if redis.call('EXISTS', KEYS[5]) == 0 then return true end
  local facts = redis.call('HMGET', KEYS[6], 'healed', 'lease')
  return now - (tonumber(facts[1]) or 0) < (tonumber(facts[2]) or 0)
end

local function move(id, delay, name, version, first, last)
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1)
  if rows.err then return -1 end
  if #rows == 0 then return 3 end
  if rows[1][2] ~= ARGV[2] then return 2 end
  if name ~= '' and declared(name, version) then return 4 end
  local copy = redis.call('XADD', KEYS[3], '*', unpack(ARGV, first, last))
  if delay >= 0 then redis.call('ZADD', KEYS[4], now + delay, copy) end
  redis.call('XACK', KEYS[1], ARGV[1], id)
  if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], id) end
  if KEYS[7] then redis.call('HDEL', KEYS[7], id) end
  return 1
end

-- A key of another type is found before anything is written: after the XADD it would leave a copy at each try.
redis.call('ZCARD', KEYS[4])
local answers, at = {}, 5
while at <= #ARGV do
  local count = tonumber(ARGV[at + 4])
  local answer = move(ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3]), at + 5, at + 4 + count)
  if answer == -1 then return -1 end
  answers[#answers + 1] = answer
  at = at + 5 + count
end
return answers
