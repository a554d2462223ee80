-- Give up a group that nobody serves, and say what it still owed. Its dead letters stay.
--
-- KEYS  1 the topic's stream   2 the set of groups   3 the group's private stream   4 its parked copies
--       5 their due times   6 its dead letters   7 its members   8 its types   9 its hash   10 its replay
--       11 its finished events   12 its events in progress   13… what it has where it is ordered
-- ARGV  1 group   2 milliseconds of a lease, where none is stored   3 most unread entries to count
--       4 "1" to look only and remove nothing   5 "" or the broadcast that it must be an instance of   6 "" or the
--       consumer that gives up its own group, and is not asked whether it lives   7 leases of silence after which a
--       member counts as gone
-- Returns {what came of it; {the names of living consumers}; entries pending; entries of the topic it was not given,
--       -1 where that is unknown; entries in the private stream; parked copies; dead letters}.
--       What came of it: 1 abandoned, 2 there is no such group, 3 it is another program's, 4 it is served, 5 nobody
--       can tell whether it is served, since Redis refuses writes
--
-- Atomic because: a member that joins, or an entry that is parked, between the look and the removal would lose what
-- it holds without a word. What is told is exactly what is removed.
-- At maxmemory heartbeats are refused, and a read that brings nothing leaves no trace before 7.2: after a lease a group
-- that is served looks like one that is not. So nothing is removed where a write that changes nothing is refused.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function about(row)
  local found = {}
  for i = 1, #row, 2 do found[row[i]] = row[i + 1] end
  return found
end

local group
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local found = about(row)
    if found.name == ARGV[1] then group = found end
  end
end

local lease = tonumber(redis.call('HGET', KEYS[9], 'lease')) or tonumber(ARGV[2])
local living, seen, patience = {}, {[ARGV[6]] = true}, tonumber(ARGV[7])

local function lives(name)
  if not seen[name] then living[#living + 1] = name end
  seen[name] = true
end

-- A heartbeat is refused at maxmemory, where reading and settling go on: who read lately lives, too.
local function look(key)
  local rows = redis.pcall('XINFO', 'CONSUMERS', key, ARGV[1])
  for _, row in ipairs(rows.err and {} or rows) do
    local found = about(row)
    if found.idle < lease * patience then lives(found.name) end
  end
end

local beats = redis.call('HGETALL', KEYS[7])
for i = 1, #beats, 2 do
  local ok, member = pcall(cjson.decode, beats[i + 1])
  if ok and type(member) == 'table' and now - (tonumber(member.time) or 0) < patience * math.max(lease, (tonumber(member.lease) or 0) * 1000) then
    lives(beats[i])
  end
end
look(KEYS[1])
look(KEYS[3])

-- Redis before 7.0 has no lag, later ones have none once an entry was deleted that the group was not given.
local function unread()
  if not group then return -1 end
  if group.lag then return group.lag end
  local limit, count, after = tonumber(ARGV[3]), 0, group['last-delivered-id']
  while count < limit do
    local rows = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', math.min(100, limit - count))
    if #rows == 0 then break end
    count = count + #rows
    after = rows[#rows][1]
  end
  return count
end

local ours = redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1
local owed = {group and group.pending or 0, unread(), redis.call('XLEN', KEYS[3]), redis.call('XLEN', KEYS[4]), redis.call('XLEN', KEYS[6])}
local code = ours and 1 or (group and 3 or 2)
if ARGV[5] ~= '' and redis.call('HGET', KEYS[9], 'broadcast') ~= ARGV[5] then code = 2 end
if code == 1 and #living > 0 then code = 4 end
if code == 1 and ARGV[6] == '' then
  local written = redis.pcall('SADD', KEYS[2], ARGV[1])
  if type(written) == 'table' and written.err then code = 5 end
end
if code == 1 and ARGV[4] ~= '1' then
  for _, i in ipairs({3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}) do redis.call('DEL', KEYS[i]) end
  redis.call('SREM', KEYS[2], ARGV[1])
  if group then redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1]) end
end
return {code, living, unpack(owed)}
