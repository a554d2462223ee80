-- Say what a replay would copy: a step of a range, by reading only.
--
-- KEYS  1 the topic's stream
-- ARGV  1 group   2 where to begin   3 where to end   4 most entries to look at
-- Returns {entries that would be copied; entries still pending in the group; {id, …} with too many fields for a script;
--       the id of the last one looked at, "" for none; 1 when there may be more}, or -1: the group's place on the topic is lost
--
-- A script because: XRANGE would send every payload, to count it. It is read in pages, since a whole range would be
-- built in the server's memory.
if redis.pcall('XPENDING', KEYS[1], ARGV[1]).err then return -1 end
local left, start, last = tonumber(ARGV[4]), ARGV[2], ''
local copied, pending, large = 0, 0, {}
while left > 0 do
  local page = redis.call('XRANGE', KEYS[1], start, ARGV[3], 'COUNT', math.min(100, left))
  for _, entry in ipairs(page) do
    last, left = entry[1], left - 1
    if redis.call('XPENDING', KEYS[1], ARGV[1], last, last, 1)[1] then
      pending = pending + 1
    elseif #entry[2] > 7900 then
      large[#large + 1] = last
    else
      copied = copied + 1
    end
  end
  if #page == 0 then return {copied, pending, large, last, 0} end
  start = '(' .. last
end
return {copied, pending, large, last, 1}
