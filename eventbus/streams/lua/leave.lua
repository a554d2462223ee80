-- Remove a consumer's heartbeat, and its name in each of both groups where it owes nothing.
--
-- KEYS  1 the topic's stream   2 the group's private stream   3 the group's members
-- ARGV  1 group   2 consumer
-- Returns the number of entries still pending for the consumer, at most 1,000 a stream
--
-- Atomic because: XGROUP DELCONSUMER destroys the consumer's pending entries without a word, so it may
-- run only in the same step that saw there are none.
redis.call('HDEL', KEYS[3], ARGV[2])
local owed = 0
for i = 1, 2 do
  local rows = redis.pcall('XPENDING', KEYS[i], ARGV[1], '-', '+', 1000, ARGV[2])
  if not rows.err then
    owed = owed + #rows
    if #rows == 0 then redis.pcall('XGROUP', 'DELCONSUMER', KEYS[i], ARGV[1], ARGV[2]) end
  end
end
return owed
