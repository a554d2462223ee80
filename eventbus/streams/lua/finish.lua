-- Acknowledge entries that were handled, and remember their events as finished.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered   3 its finished events
--       4 its events in progress   5 the attempts of the stream's entries, where it is ordered
-- ARGV  1 group   2 the token known when the entries were read   3 "1" when the stream is private
--       4 milliseconds for which to remember   then an entry id and its event's id in turn
-- Returns the number of rows acknowledged, or -1 when the token is another's or gone: then the events are remembered, and
--       nothing is acknowledged
--
-- Atomic because: a crash between the mark and the acknowledgement would run the event again, or leave what is
-- acknowledged unknown to its copies. ZADD stands first: at maxmemory it is refused before anything changed.
--
-- A mark is kept with the time until which it holds, so that each member's own window counts for what it finished. It is
-- written whoever owns the entry by now, and in whatever group: the work is done.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = string.format('%.0f', now + tonumber(ARGV[4]))
local ids, names, marks = {}, {}, {}
for at = 5, #ARGV, 2 do
  ids[#ids + 1], names[#names + 1] = ARGV[at], ARGV[at + 1]
  marks[#marks + 1] = last
  marks[#marks + 1] = ARGV[at + 1]
end
redis.call('ZADD', KEYS[3], 'GT', unpack(marks))
redis.call('HDEL', KEYS[4], unpack(names))
-- More at a time than were written, so that the set shrinks to what still holds.
local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 2 * #names)
if #over > 0 then redis.call('ZREM', KEYS[3], unpack(over)) end
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then return -1 end
local count = redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], unpack(ids)) end
if KEYS[5] then redis.call('HDEL', KEYS[5], unpack(ids)) end
return count
