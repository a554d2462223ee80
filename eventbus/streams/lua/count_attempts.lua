-- Keep the attempts of entries that an ordered group waits for, so that they survive their owner.
--
-- KEYS  1 the stream   2 the group's owner   3 the attempts of the stream's entries
-- ARGV  1 group   2 consumer   3 the epoch   then for each entry its id, its attempts, and the
--       delivery count it was handed over with
-- Returns the number of entries whose attempts were kept, or -1 when the epoch is another's or gone
--
-- Atomic because: the entry must still be pending for this consumer: one that was settled meanwhile, by a call that was
-- sent again, would leave its attempts behind. Its start was not lost: the count of it is taken back in the same step
-- (see mark.lua; an entry that was cut is left alone). HDEL first, so that the HSET is let through at maxmemory.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end
local kept = 0
for i = 4, #ARGV, 3 do
  local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if rows.err then return redis.error_reply(rows.err) end
  if #rows == 1 then
    redis.call('HDEL', KEYS[3], '')
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
    local count = tonumber(ARGV[i + 2])
    if rows[1][4] ~= count and #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) == 1 then
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', count, 'JUSTID')
    end
    kept = kept + 1
  end
end
return kept
