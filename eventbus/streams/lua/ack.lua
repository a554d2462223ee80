-- Acknowledge entries that were handled, if the group is still the one they were read from.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered   3 the attempts of the
--       stream's entries, where it is ordered
-- ARGV  1 group   2 the token known when the entries were read   3 "1" when the stream is private   4… ids
-- Returns the number of rows acknowledged, or -1 when the token is another's or gone
--
-- Atomic because: after a flush ids are used again; an old id's XACK would settle another event. On a
-- private stream the entry goes with its row: a left-over would run again when the group is made anew.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then return -1 end
local count = redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 4))
if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], unpack(ARGV, 4)) end
if KEYS[3] then redis.call('HDEL', KEYS[3], unpack(ARGV, 4)) end
return count
