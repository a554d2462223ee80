-- Write a consumer's heartbeat: that it lives, which types it knows, which lease it has.
--
-- KEYS  1 the group's members   2 the group's hash   3 the group's types   4 the set of groups
-- ARGV  1 consumer   2 JSON object of the member without its time, ending in "}"   3 its lease in milliseconds
--       4 group   5 the token the consumer knows
--       then each event type it knows and its highest version in turn
-- Returns the group's lease in milliseconds, or -1 when the group is another one now: nothing but the heartbeat was
--       written, and the caller has to heal, which declares its types
--
-- Atomic because: the group's lease is the largest of its living members', so that nobody claims what a slower
-- member still holds. The time must be the server's, the only clock all members share. A registry of types
-- that is gone is not taken for complete until every member had a lease's time to declare its own again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = string.sub(ARGV[2], 1, -2) .. ',"time":' .. string.format('%.0f', now) .. '}'
redis.call('HSET', KEYS[1], ARGV[1], record)
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[5] then return -1 end

local facts = redis.call('HMGET', KEYS[2], 'lease', 'loweredat', 'begunat')
local stored, lower_at = tonumber(facts[1]) or 0, tonumber(facts[2]) or -1
local lease = tonumber(ARGV[3])
for _, text in ipairs(redis.call('HVALS', KEYS[1])) do
  local ok, member = pcall(cjson.decode, text)
  if ok and type(member) == 'table' and tonumber(member.lease) and tonumber(member.time) then
    local theirs = member.lease * 1000
    if now - member.time < math.max(theirs, stored) and theirs > lease then lease = theirs end
  end
end
local changed = {'served', string.format('%.0f', now)}
local function write(name, value)
  changed[#changed + 1] = name
  changed[#changed + 1] = string.format('%.0f', value)
end

-- Raised at once, lowered only after that was wanted for a whole lease: heartbeats may be gone or refused (a deleted
-- key, maxmemory, an outage) while their member lives, and beats by the longer one.
if lease < stored and (lower_at < 0 or now < lower_at) then
  if lower_at < 0 then write('loweredat', now + stored) end
  lease = stored
else
  if lease ~= stored then write('lease', lease) end
  if lower_at >= 0 then redis.call('HDEL', KEYS[2], 'loweredat') end
end
-- By now whoever was there before this group began has found it (see ensure_group.lua); it is not replayed later.
if facts[3] and now - (tonumber(facts[3]) or 0) >= lease then redis.call('HDEL', KEYS[2], 'begun', 'begunat') end
if redis.call('EXISTS', KEYS[3]) == 0 and #ARGV > 5 then
  write('healed', now)
end
redis.call('HSET', KEYS[2], unpack(changed))
if redis.call('SISMEMBER', KEYS[4], ARGV[4]) == 0 then redis.call('SADD', KEYS[4], ARGV[4]) end
for i = 6, #ARGV, 2 do
  local known = tonumber(redis.call('HGET', KEYS[3], ARGV[i])) or 0
  if known < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
end
return lease
