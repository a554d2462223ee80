-- Give parked copies that have no due time one: now.
--
-- KEYS  1 the parked copies   2 their due times
-- ARGV  1 the id after which to go on, "" for the beginning   2 most copies to look at
-- Returns {the last id looked at, "" at the end or when nothing is missing; how many had none}
--
-- Atomic because: between the look at a copy and its new due time somebody may promote it.
if redis.call('XLEN', KEYS[1]) <= redis.call('ZCARD', KEYS[2]) then return {'', 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local start = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local rows = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', ARGV[2])
local mended, last = 0, ''
for _, row in ipairs(rows) do
  last = row[1]
  mended = mended + redis.call('ZADD', KEYS[2], 'NX', now, last)
end
if #rows < tonumber(ARGV[2]) then last = '' end
return {last, mended}
