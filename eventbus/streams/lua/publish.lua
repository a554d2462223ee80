-- Store an event as its publisher asked for: once for a key, under an entry id of its own, or later.
--
-- KEYS  1 the stream of its priority   2 what its idempotency key is remembered by (the topic's stream for none)
--       3 the scheduled entries   4 their due times   5 their event ids   6 what wakes promoters
-- ARGV  1 event id   2 priority   3 idempotency key, "" for none   4 milliseconds for which it is remembered
--       5 milliseconds until the event is due   6 the milliseconds since 1970 at which it is due, 0 for none
--       7 entry id, "*" for Redis's own   then its names and values
-- Returns {entry id, event id, the milliseconds since 1970 at which it is due} of what is stored, be it by this publish
--       or by an earlier one with its key; the time is 0 for what was in its stream at once. Or the error
--       IDTOOLOW with the last id of the stream: nothing was written
--
-- Atomic because: of two publishes with one key one must find what the other stored; an event must not be scheduled without
-- its due time; and an answer that was lost must be found again, not written twice. XADD stands first: at maxmemory it is
-- refused before anything changed.
local event, priority, key, fields = ARGV[1], ARGV[2], ARGV[3], 8
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = tonumber(ARGV[6])
if due == 0 then due = now + tonumber(ARGV[5]) end
local day = 86400000

if key ~= '' then
  -- What is not of this form another hand wrote. A time that is none, no clock reads.
  local entry, at, known = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+%-%d+) (%d+) (.+)$')
  local later = entry and tonumber(at) > now
  -- What waits, and was cancelled: it had been scheduled with another key before, or with none.
  local void = not entry or #at > 14 or (later and not redis.call('XRANGE', KEYS[3], entry, entry)[1])
  if not void then return {entry, known, tonumber(at)} end
end

local function remember(id, at)
  if key ~= '' then
    local window = string.format('%.0f', tonumber(ARGV[4]) + math.max(0, at - now))
    redis.call('SET', KEYS[2], string.format('%s %.0f %s', id, at, event), 'PX', window)
  end
  return {id, event, at}
end

-- An id that is not above the last is refused, unless that very entry is this event: its answer was lost.
local function stands(refusal)
  local low = string.find(refusal, 'equal or smaller', 1, true) or string.find(refusal, 'exhausted the last', 1, true)
  if not low then return redis.error_reply(refusal) end
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[7], ARGV[7])) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'id' and entry[2][i + 1] == event then return remember(entry[1], 0) end
    end
  end
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return redis.error_reply('IDTOOLOW ' .. info[i + 1]) end
  end
end

if due <= now then
  local id = redis.pcall('XADD', KEYS[1], ARGV[7], unpack(ARGV, fields))
  if type(id) == 'table' and id.err then return stands(id.err) end
  return remember(id, 0)
end

-- Keys of another type are found before anything is written: after the XADD they would leave a copy at each try, and what
-- cannot be promoted would wait for ever.
redis.call('XLEN', KEYS[1])
redis.call('ZCARD', KEYS[4])
redis.call('XLEN', KEYS[6])
local known = redis.call('HGET', KEYS[5], event)
local score = known and redis.call('ZSCORE', KEYS[4], known)
if score then return remember(string.gsub(known, '%-0+(%d)', '-%1'), tonumber(score)) end

local entry = {unpack(ARGV, fields)}
for _, each in ipairs({'ebdue', string.format('%.0f', due), 'ebpriority', priority, 'ebonce', key}) do entry[#entry + 1] = each end
local id = redis.call('XADD', KEYS[3], '*', unpack(entry))
-- Of one due time they are promoted in the order of their ids, which sorts as text does when the second number is as long.
local milliseconds, number = string.match(id, '(%d+)-(%d+)')
local member = milliseconds .. '-' .. string.rep('0', 10 - #number) .. number
redis.call('ZADD', KEYS[4], string.format('%.0f', due), member)
redis.call('HSET', KEYS[5], event, member)
if redis.call('ZRANGE', KEYS[4], 0, 0)[1] == member then
  redis.call('XADD', KEYS[6], 'MAXLEN', 1, '*', 'due', string.format('%.0f', due))
  redis.call('PEXPIRE', KEYS[6], day)
end
return remember(id, due)
