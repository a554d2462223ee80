-- Become the one consumer of an ordered group that reads, handles and settles, where nobody else is.
--
-- KEYS  1 the group's owner   2 the group's hash   3 the list that wakes who stands by
-- ARGV  1 consumer   2 a new random epoch   3 its lease in milliseconds   4 the group's token it knows
--       5 the server's milliseconds after which it is not to take over from an owner whose lease ran out
-- Returns {1 taken, 0 another's, -1 the group is another one now; the owner; milliseconds until its lease runs out,
--       0 where it has; the server's milliseconds}
--
-- Atomic because: of two that find a lease run out one may take it. The epoch is random and not counted: after a flush
-- a counter would begin again, and an owner of before could be taken for the new one. It stands in the field `token`, so
-- that the scripts that settle check it as they check a group's token. Whoever owned the group under this name takes it
-- under a new epoch: what it held under the old one it has given up.
-- HDEL first: at maxmemory HSET is refused, and who could free memory could not work; after a write that frees, the
-- others of the same script are let through (6.2, 7.0, 8.0).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[4] then return {-1, '', 0, now} end
local facts = redis.call('HMGET', KEYS[1], 'consumer', 'until')
local owner, left = facts[1], math.max(0, (tonumber(facts[2]) or 0) - now)
local mine = not owner or owner == ARGV[1] or (left == 0 and now <= tonumber(ARGV[5]))
if not mine then return {0, owner, left, now} end
redis.call('HDEL', KEYS[1], 'reader')
redis.call('HSET', KEYS[1], 'consumer', ARGV[1], 'token', ARGV[2], 'lease', ARGV[3], 'since', string.format('%.0f', now),
  'until', string.format('%.0f', now + ARGV[3]))
redis.call('DEL', KEYS[3])
return {1, ARGV[1], tonumber(ARGV[3]), now}
