-- Give parked copies that have no due time one: now.
--
-- KEYS  1 the parked copies   2 their due times
-- ARGV  1 the id after which to go on, "" for the beginning   2 most copies to look at   3 bytes after which to stop
-- Returns {the last id looked at, "" at the end or when nothing is missing; how many had none}
--
-- Atomic because: between the look at a copy and its new due time somebody may promote it.
-- Cost: nothing is read where nothing is missing; else whole copies, a few at a time, up to the bytes.
if redis.call('XLEN', KEYS[1]) <= redis.call('ZCARD', KEYS[2]) then return {'', 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last, room, bytes, mended = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), 0
while room > 0 and bytes > 0 do
  local rows = redis.call('XRANGE', KEYS[1], last == '' and '-' or '(' .. last, '+', 'COUNT', math.min(10, room))
  if #rows == 0 then return {'', mended} end
  for _, row in ipairs(rows) do
    last = row[1]
    mended = mended + redis.call('ZADD', KEYS[2], 'NX', now, last)
    for _, value in ipairs(row[2]) do bytes = bytes - #value end
  end
  room = room - #rows
end
return {last, mended}
