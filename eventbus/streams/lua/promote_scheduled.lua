-- Promote the scheduled entries of a topic that are due into the streams of their priorities, in the order of their due times.
--
-- KEYS  1 the scheduled entries   2 their due times   3 their event ids   4 what wakes promoters
--       then the stream of each priority that is known here
-- ARGV  1 most entries to look at   2 bytes after which no more are promoted   then the name of each of those priorities
-- Returns {entries promoted; milliseconds until the next is due, -1 for none; due times without an entry; priorities that
--       entries which are due have, and that are not known here; the last id of what wakes promoters; 1 when entries are left
--       that have no due time}
--
-- Atomic because: an entry must stand in one of the streams at every moment, and in one only, whoever promotes beside us.
-- What cannot be promoted stays, and does not keep the others from it: its stream is none, or was given the last id there is, or
-- another hand wrote more fields than a script can. It is told as the error of a call that promoted nothing.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local streams, unknown, asked = {}, {}, {}
for i = 3, #ARGV do streams[ARGV[i]] = KEYS[i + 2] end
local promoted, missing, refused, refusal = 0, 0, {}, nil
local most = 7900  -- names and values: Lua's stack has room for 8,000

local function event_of(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then return fields[i + 1] end
  end
  return ''
end

local function forget(id, member, fields)
  redis.call('XDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], member)
  local event = event_of(fields)
  if redis.call('HGET', KEYS[3], event) == member then redis.call('HDEL', KEYS[3], event) end
end

-- Of one stream nothing goes past what it refused.
local function promote(priority, fields, last)
  if last > most then
    refusal = refusal or 'ERR a scheduled entry has more fields than a script can write'
    return false
  end
  local added = redis.pcall('XADD', streams[priority], '*', unpack(fields, 1, last))
  if type(added) == 'string' then return true end
  refused[priority], refusal = true, refusal or added.err
  return false
end

redis.call('XLEN', KEYS[1])  -- a key of another type is found here, before its entries are taken for gone
local members = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, limit)
for _, member in ipairs(members) do
  if room <= 0 then break end
  local id = string.gsub(member, '%-0+(%d)', '-%1')
  local entry = redis.pcall('XRANGE', KEYS[1], id, id)[1]  -- none for what is no id, either: another hand wrote it
  if not entry then
    redis.call('ZREM', KEYS[2], member)
    missing = missing + 1
  else
    local fields = entry[2]
    local ours = fields[#fields - 5] == 'ebdue'  -- else another hand wrote it
    local priority = ours and fields[#fields - 2] or 'normal'
    if streams[priority] and not refused[priority] and promote(priority, fields, ours and #fields - 6 or #fields) then
      forget(id, member, fields)
      promoted = promoted + 1
      for _, each in ipairs(fields) do room = room - #each end
    elseif not streams[priority] and not asked[priority] then
      asked[priority] = true
      unknown[#unknown + 1] = priority
    end
  end
end

if refusal and promoted + missing + #unknown == 0 then return redis.error_reply(refusal) end
local following = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local wait = following[2] and math.max(0, tonumber(following[2]) - now) or -1
local woken = redis.call('XREVRANGE', KEYS[4], '+', '-', 'COUNT', 1)[1]
local lost = redis.call('XLEN', KEYS[1]) > redis.call('ZCARD', KEYS[2]) and 1 or 0
return {promoted, wait, missing, unknown, woken and woken[1] or '0-0', lost}
