-- Renew the lease of an ordered group's owner.
--
-- KEYS  1 the group's owner
-- ARGV  1 the epoch
-- Returns 1, or 0 when the epoch is another's or gone
--
-- Atomic because: a lease may be renewed only by whom it belongs to. One that ran out and that nobody took is renewed,
-- too. HDEL first, so that the HSET is let through at maxmemory (see take_ownership.lua).
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + redis.call('HGET', KEYS[1], 'lease')))
return 1
