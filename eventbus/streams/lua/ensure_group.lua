-- Create what is missing of a group: its place on the topic's stream, its private stream, its token.
-- What exists is adopted and left alone, so any number of processes may call this at any time.
--
-- KEYS  1 the topic's stream   2 the group's private stream   3 the group's hash   4 the set of groups
-- ARGV  1 group   2 where a new group starts: 0, $ or an entry id   3 a new random token   4 service
-- Returns {token, 1 when the topic's group was created else 0, 1 when it had existed before else 0}
--
-- Atomic because: a token must change in the same step in which a group begins anew, else a worker
-- could settle an entry of the old group in the new one. A group whose hash is there was lost, not
-- new: it restarts at 0 wherever the caller would have started, since nobody knows what was settled.
for i, wanted in ipairs({'stream', 'stream', 'hash', 'set'}) do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a Redis ' .. kind .. ', not a ' .. wanted)
  end
end

local token = redis.call('HGET', KEYS[3], 'token')

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

local topic = create(KEYS[1], token and '0' or ARGV[2])
local private = create(KEYS[2], '0')

local known = token and 1 or 0
if topic == 1 or private == 1 or not token then
  token = ARGV[3]
  redis.call('HSET', KEYS[3], 'token', token, 'service', ARGV[4])
end
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 0 then redis.call('SADD', KEYS[4], ARGV[1]) end
return {token, topic, known}
