-- Count the entries of a stream between two ids, up to a limit.
--
-- KEYS  1 the stream
-- ARGV  1 where to begin   2 where to end   3 most entries to count
-- Returns {the number, at most the limit; the id of the last one counted, "" for none}
--
-- A script because: Redis has no command that counts a range, and XRANGE would send every payload. It is
-- read in pages, since a whole range would be built in the server's memory.
local limit = tonumber(ARGV[3])
local count, start, last = 0, ARGV[1], ''
while count < limit do
  local rows = redis.call('XRANGE', KEYS[1], start, ARGV[2], 'COUNT', math.min(100, limit - count))
  if #rows == 0 then break end
  count = count + #rows
  last = rows[#rows][1]
  start = '(' .. last
end
return {count, last}
