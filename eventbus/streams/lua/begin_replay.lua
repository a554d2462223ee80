-- Note that a replay begins, in place of the one that was seen there.
--
-- KEYS  1 the group's replay
-- ARGV  1 the id of the replay that stands there, "" for none   2 the server's milliseconds are written under this name
--       3… names and values of the new one, all of them
-- Returns 1 when it is noted, 0 when another replay stands there by now: look again
--
-- Atomic because: two that begin at once would each copy the range; the second finds the first. HSET stands first, and
-- writes every name: at maxmemory it is refused before anything changed.
if (redis.call('HGET', KEYS[1], 'id') or '') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), unpack(ARGV, 3))
redis.call('HDEL', KEYS[1], 'done', 'at')
redis.call('PERSIST', KEYS[1])
return 1
