-- Give up an ordered group, and wake one of those who stand by.
--
-- KEYS  1 the group's owner   2 the list that wakes who stands by
-- ARGV  1 the epoch   2 milliseconds after which nobody needs to be woken any more
-- Returns 1, or 0 when the epoch is another's or gone
--
-- Atomic because: only what is one's own may be given up. DEL first, so that the LPUSH is let through at maxmemory.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('LPUSH', KEYS[2], '1')
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
