-- Put copies of events into one of the group's streams, without looking at where they came from: their group
-- was lost, and what is in hand is the only copy.
--
-- KEYS  1 the destination   2 the group's due times
-- ARGV  for each copy: milliseconds until it is due (-1 where no time is kept), the number of its names and
--       values, those names and values
-- Returns nothing
--
-- A script because: a parked copy and its due time belong together, and the time is the server's.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZCARD', KEYS[2])  -- a key of another type is found before anything is written
local at = 1
while at <= #ARGV do
  local delay, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local copy = redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 2, at + 1 + count))
  if delay >= 0 then redis.call('ZADD', KEYS[2], now + delay, copy) end
  at = at + 2 + count
end
