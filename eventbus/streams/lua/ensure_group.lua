-- Create what is missing of a group: its place on the topic's stream, its private stream, its token.
-- What exists is adopted and left alone, so any number of processes may call this at any time.
--
-- KEYS  1 the topic's stream   2 the group's private stream   3 the group's hash   4 the set of groups
--       5 the group's types   6 its members   and of an ordered group   7 its owner   8 the list that wakes who stands by
--       9 the attempts of the topic's entries   10 those of the private stream's
-- ARGV  1 group   2 where a new group starts: 0, $ or an entry id   3 a new random token   4 service
--       5 the member's lease in milliseconds   6 the token the caller knew, "" where it only starts
--       7 for an instance of a broadcast the name they share, else ""   8 "1" where the caller orders the group's events,
--       else ""   9 its consumer name   then each event type the member knows and its highest version in turn
-- Returns {token, 1 when the topic's group was created else 0, 1 when it had existed before else 0,
--       the group's lease in milliseconds}
--
-- Atomic because: a token must change in the same step in which a group begins anew, else a worker
-- could settle an entry of the old group in the new one. A group whose hash is there was lost, not new: it
-- restarts just before the watermark that the last trim stored (the watermark itself may be pending with
-- somebody), or at 0 where none is known or the stream is another one by now. A group that is new, and does not begin
-- at 0, may be one that Redis forgot and that others still work in: for a lease its hash keeps the token it began with.
-- An instance of a broadcast is a group of one process, which knows where it was: a lost one goes on after ARGV 2.
-- That it is one is written in the step that makes it, so that others can end it when the process is gone.
-- Cost: nothing of the stream is read but XINFO STREAM, where a lost group is made.
for i, wanted in ipairs({'stream', 'stream', 'hash', 'set', 'hash'}) do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a Redis ' .. kind .. ', not a ' .. wanted)
  end
end

local facts = redis.call('HMGET', KEYS[3], 'token', 'watermark', 'lease', 'healed', 'begun')
local token, watermark, begun = facts[1], facts[2], facts[5]
local lost = token or ARGV[6] ~= ''

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)%-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end

-- The id before one; numbers beyond 2^53 are not exact here, and an earlier id is the safe side.
local function before(id)
  local ms, seq = parts(id)
  if ms == 0 then return '0' end
  if seq > 0 and seq < 9007199254740992 then return string.format('%.0f-%.0f', ms, seq - 1) end
  return string.format('%.0f-18446744073709551615', ms - 1)
end

local function beginning()
  if not lost then return ARGV[2] end
  local own = ARGV[6] ~= '' and ARGV[7] ~= ''
  if own then watermark = ARGV[2] end
  if not watermark or redis.call('EXISTS', KEYS[1]) == 0 then return '0' end
  local about = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then
      local ms, seq = parts(about[i + 1])
      local known, part = parts(watermark)
      if ms < known or (ms == known and seq < part) then return '0' end
    end
  end
  if own then return watermark end
  return before(watermark)
end

-- Looked up, not just tried: at maxmemory XGROUP CREATE is refused before it sees that the group exists,
-- and a worker that could free memory could not start.
local function exists(key)
  if redis.call('EXISTS', key) == 0 then return false end
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    if row[2] == ARGV[1] then return true end
  end
  return false
end

local function create(key, start)
  if exists(key) then return 0 end
  redis.call('XGROUP', 'CREATE', key, ARGV[1], start, 'MKSTREAM')
  return 1
end

-- Written only where it differs: at maxmemory a write is refused, also one that changes nothing.
local function write(key, name, value)
  if redis.call('HGET', key, name) ~= value then redis.call('HSET', key, name, value) end
end

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

-- One that reads without owning the group would break its order: both kinds do not go together.
local ordered = redis.call('HGET', KEYS[3], 'ordered') or ''
if token and ordered ~= ARGV[8] then
  local beats = redis.call('HGETALL', KEYS[6])
  for i = 1, #beats, 2 do
    local ok, member = pcall(cjson.decode, beats[i + 1])
    local known = ok and type(member) == 'table' and tonumber(member.lease) and tonumber(member.time)
    if known and beats[i] ~= ARGV[9] and now - member.time < member.lease * 1000 then
      return redis.error_reply('ORDERED ' .. beats[i])
    end
  end
end

local topic = create(KEYS[1], beginning())
local private = create(KEYS[2], '0')
local anew = topic == 1 or private == 1 or not token or ordered ~= ARGV[8]

local lease = math.max(tonumber(ARGV[5]), tonumber(facts[3]) or 0)

-- After a flush a member that starts may come first, and make a group that never was: it, and whoever reads in it,
-- skip what nobody declared, and what was published before it came. A member that finds its own types missing, or
-- that knew another token than the one the group began with, then sets the group back to its beginning.
local missing = false
for i = 10, #ARGV, 2 do missing = missing or redis.call('HEXISTS', KEYS[5], ARGV[i]) == 0 end
local doubted = now - (tonumber(facts[4]) or 0) < lease
local passed = begun and begun ~= ARGV[6]
if ARGV[6] ~= '' and (passed or (not anew and missing and not doubted)) then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '0')
  redis.call('HDEL', KEYS[3], 'watermark', 'begun', 'begunat')
end

if lost and (anew or redis.call('EXISTS', KEYS[5]) == 0) then redis.call('HSET', KEYS[3], 'healed', now) end
if anew then
  token = ARGV[3]
  redis.call('HSET', KEYS[3], 'token', token, 'service', ARGV[4], 'served', now)
  if ARGV[7] ~= '' then redis.call('HSET', KEYS[3], 'broadcast', ARGV[7]) end
  -- What was owned, and counted, was so in a group that is gone.
  redis.call('DEL', KEYS[7], KEYS[8], KEYS[9], KEYS[10])
end
if ordered ~= ARGV[8] then
  if ARGV[8] == '' then redis.call('HDEL', KEYS[3], 'ordered') else redis.call('HSET', KEYS[3], 'ordered', ARGV[8]) end
  -- Nobody of the other kind lives: who takes part from here on knows this token as the one that the group began with.
  if begun then redis.call('HSET', KEYS[3], 'begun', token) end
end
if topic == 1 and not lost and ARGV[2] ~= '0' then
  redis.call('HSET', KEYS[3], 'begun', token, 'begunat', now)
elseif topic == 1 and begun then
  redis.call('HDEL', KEYS[3], 'begun', 'begunat')
end
write(KEYS[3], 'lease', string.format('%.0f', lease))
for i = 10, #ARGV, 2 do
  local known = tonumber(redis.call('HGET', KEYS[5], ARGV[i])) or 0
  if known < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1]) end
end
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 0 then redis.call('SADD', KEYS[4], ARGV[1]) end
return {token, topic, lost and 1 or 0, lease}
