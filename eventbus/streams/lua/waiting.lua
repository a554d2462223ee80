-- Count a stream's entries after an id, up to a limit.
--
-- KEYS  1 the stream
-- ARGV  1 the id, counted from the next one on   2 most entries to count
-- Returns the number, at most the limit
--
-- A script because: Redis has no command that counts a range, and XRANGE would send every payload. It is
-- read in pages, since a whole range would be built in the server's memory.
local limit = tonumber(ARGV[2])
local count, after = 0, ARGV[1]
while count < limit do
  local rows = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', math.min(100, limit - count))
  if #rows == 0 then break end
  count = count + #rows
  after = rows[#rows][1]
end
return count
