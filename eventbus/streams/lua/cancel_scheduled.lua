-- Take back a scheduled event that is not due yet.
--
-- KEYS  1 the scheduled entries   2 their due times   3 their event ids   4 what its idempotency key is remembered by (the
--       scheduled entries again for none)
-- ARGV  1 event id   2 the idempotency key it was scheduled with, "" for none
-- Returns 1 when it was scheduled, 0 when it was not, or is not any more
--
-- Atomic because: a promoter may be at it. What it is remembered by goes with it: else it could not be published again with
-- its key, and nothing would ever come of that.
local member = redis.call('HGET', KEYS[3], ARGV[1])
if not member then return 0 end
local id = string.gsub(member, '%-0+(%d)', '-%1')
redis.call('ZREM', KEYS[2], member)
redis.call('HDEL', KEYS[3], ARGV[1])
local removed = redis.call('XDEL', KEYS[1], id)
if ARGV[2] ~= '' and string.match(redis.call('GET', KEYS[4]) or '', '^(%S+) ') == id then redis.call('DEL', KEYS[4]) end
return removed
