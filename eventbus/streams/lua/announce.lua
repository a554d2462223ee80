-- Write a consumer's heartbeat.
--
-- KEYS  1 the group's members
-- ARGV  1 consumer   2 JSON object of the member without its time, ending in "}"
-- Returns the server's time in milliseconds
--
-- A script because: the time must be the server's, the only clock all members share.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = string.sub(ARGV[2], 1, -2) .. ',"time":' .. string.format('%d', now) .. '}'
redis.call('HSET', KEYS[1], ARGV[1], record)
return now
