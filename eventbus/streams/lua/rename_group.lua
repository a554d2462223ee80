-- Give a group another name: a new group at its place, its dead letters and what is known of it move along.
--
-- KEYS  1 the topic's stream   2 the set of groups   then of the old name   3 its private stream   4 its parked copies
--       5 their due times   6 its dead letters   7 its members   8 its types   9 its hash   and of the new name
--       10 its private stream   11 its parked copies   12 their due times   13 its dead letters   14 its members
--       15 its types   16 its hash   and of the old name   17 the replay   18 its finished events   19 its events in
--       progress   and of the new name   20 the replay   21 its finished events   22 its events in progress
--       23… what the old one has where it is ordered
-- ARGV  1 the old name   2 the new name   3 a new random token   4 milliseconds of a lease, where none is stored
--       5 "1" to look only and change nothing
-- Returns {what came of it; {the names of living consumers}; entries pending; entries in the private stream; parked
--       copies}. What came of it: 1 renamed (by this call, or by one with the same token), 2 there is no such group,
--       3 it is another program's, 4 its place on the stream is lost, 5 the new name is taken, 6 it is in use,
--       7 it is the group of one process of a broadcast, which ends with it
--
-- Atomic because: an entry that is given out, parked or redriven between the look and the change would stay behind
-- under a name that nobody serves. A new token: what was read under the old name is not settled under the new one.
-- XGROUP CREATE stands first: at maxmemory it is refused before anything changed.
if redis.call('HGET', KEYS[16], 'token') == ARGV[3] then return {1, {}, 0, 0, 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function about(row)
  local found = {}
  for i = 1, #row, 2 do found[row[i]] = row[i + 1] end
  return found
end

local function place(name)
  if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local found = about(row)
    if found.name == name then return found end
  end
end

local lease = tonumber(redis.call('HGET', KEYS[9], 'lease')) or tonumber(ARGV[4])
local living, seen = {}, {}

local function lives(name)
  if not seen[name] then living[#living + 1] = name end
  seen[name] = true
end

-- A heartbeat is refused at maxmemory, where reading and settling go on: who read lately lives, too.
local function look(key)
  local rows = redis.pcall('XINFO', 'CONSUMERS', key, ARGV[1])
  for _, row in ipairs(rows.err and {} or rows) do
    local found = about(row)
    if found.idle < lease then lives(found.name) end
  end
end

local beats = redis.call('HGETALL', KEYS[7])
for i = 1, #beats, 2 do
  local ok, member = pcall(cjson.decode, beats[i + 1])
  if ok and type(member) == 'table' and now - (tonumber(member.time) or 0) < math.max(lease, (tonumber(member.lease) or 0) * 1000) then
    lives(beats[i])
  end
end

local old = place(ARGV[1])
local ours = redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1
if not old then return {ours and 4 or 2, living, 0, 0, 0} end
if redis.call('HEXISTS', KEYS[9], 'broadcast') == 1 then return {7, living, 0, 0, 0} end
if not ours then return {3, living, 0, 0, 0} end
local taken = place(ARGV[2]) ~= nil or redis.call('SISMEMBER', KEYS[2], ARGV[2]) == 1
for i = 10, 16 do taken = taken or redis.call('EXISTS', KEYS[i]) == 1 end
if taken then return {5, living, 0, 0, 0} end

look(KEYS[1])
look(KEYS[3])
local waiting = redis.call('XLEN', KEYS[3])
local parked = math.max(redis.call('XLEN', KEYS[4]), redis.call('ZCARD', KEYS[5]))
if #living > 0 or old.pending + waiting + parked > 0 then return {6, living, old.pending, waiting, parked} end
if ARGV[5] == '1' then return {1, {}, 0, 0, 0} end

local start = {ARGV[2], old['last-delivered-id']}
-- From 7.0 on: how many entries it was given, without which its lag would be unknown.
if old['entries-read'] then start[3], start[4] = 'ENTRIESREAD', old['entries-read'] end
redis.call('XGROUP', 'CREATE', KEYS[1], unpack(start))
redis.call('XGROUP', 'CREATE', KEYS[10], ARGV[2], '0', 'MKSTREAM')
local function rename(from, to)
  if redis.call('EXISTS', KEYS[from]) == 1 then redis.call('RENAME', KEYS[from], KEYS[to]) end
end
rename(6, 13)
rename(8, 15)
rename(9, 16)
rename(17, 20)
rename(18, 21)
redis.call('HSET', KEYS[16], 'token', ARGV[3])
redis.call('HDEL', KEYS[16], 'begun', 'begunat')
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
for _, i in ipairs({3, 4, 5, 7, 19, 23, 24, 25, 26}) do redis.call('DEL', KEYS[i]) end
return {1, {}, 0, 0, 0}
