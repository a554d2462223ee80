-- Tell the server's time, where it takes writes.
--
-- KEYS  1 the stream
-- ARGV  1 group
-- Returns {seconds since 1970, microseconds}
--
-- Atomic because: TIME alone is answered by a server that refuses writes (MISCONF, NOREPLICAS, a demoted primary), and
-- renewals are writes. The acknowledgement of an entry that cannot exist writes nothing, and is refused as they are.
redis.call('XACK', KEYS[1], ARGV[1], '0-0')
return redis.call('TIME')
