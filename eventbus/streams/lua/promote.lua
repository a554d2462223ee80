-- Promote parked copies that are due into the group's private stream.
--
-- KEYS  1 the parked copies   2 their due times   3 the group's private stream   4 its dead letters   5 its types
--       6 its hash
-- ARGV  1 group   2 consumer   3 most copies to look at   4 entries this consumer may be given, -1 where it
--       owns the group: all are promoted, and it alone reads them   5 milliseconds after
--       its first hop at which a copy is dead-lettered   6 the time as RFC 3339   then each event type this member
--       knows and its highest version in turn
-- Returns {copies promoted; milliseconds until the next is due, -1 for none; {{id, {field, value, …}}, …} that this
--       consumer was given; due times without a copy; copies dropped, since nobody declared their type; copies
--       dead-lettered as "newer"; copies dead-lettered as "unhandled"; copies that no script can move, put off}
--
-- Atomic because: a copy must stand in one of the streams at every moment, and in one only. A copy that hops
-- (the member that read it did not know its type) is promoted only by a member that knows it, which reads it in
-- this very step: woken by the copy alone, an idle member that does not know it would win it every time.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local credit, limit = tonumber(ARGV[4]), tonumber(ARGV[3])
local mine = {}
for i = 7, #ARGV, 2 do mine[ARGV[i]] = tonumber(ARGV[i + 1]) end

local facts = redis.call('HMGET', KEYS[6], 'healed', 'lease')
local incomplete = redis.call('EXISTS', KEYS[5]) == 0 or now - (tonumber(facts[1]) or 0) < (tonumber(facts[2]) or 0)
local counts = {promoted = 0, missing = 0, dropped = 0, newer = 0, unhandled = 0, spoiled = 0}
local hopping, left, ordinary = {}, {}, {}

local function value(fields, name, from, to)
  for i = from, to, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

local function block(fields)
  for i = #fields - 1, 1, -2 do
    if fields[i] == 'ebentry' then return i end
  end
  return #fields + 1
end

local function remove(id)
  redis.call('XDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end

local function bury(id, fields, reason, name)
  local letter = {unpack(fields)}
  for _, each in ipairs({'ebreason', reason, 'ebgroup', ARGV[1], 'ebconsumer', ARGV[2], 'ebfailed', ARGV[6], 'ebtype', name}) do
    letter[#letter + 1] = each
  end
  local written = redis.pcall('XADD', KEYS[4], '*', unpack(letter))
  if type(written) == 'table' and written.err then  -- it waits; the others do not
    left[#left + 1] = id
    return
  end
  remove(id)
  counts[reason] = counts[reason] + 1
end

local function promote(id, fields)
  redis.call('XADD', KEYS[3], '*', unpack(fields))
  remove(id)
  counts.promoted = counts.promoted + 1
end

-- What becomes of a copy that hops, decided by the registry as it is now.
local function hop(id, fields, ours)
  local name = value(fields, 'type', 1, ours - 1) or ''
  local version = tonumber(value(fields, 'dataversion', 1, ours - 1) or 1) or 1
  local known = tonumber(redis.call('HGET', KEYS[5], name) or -1) or 0
  if (mine[name] or -1) >= version then
    local known = credit < 0 and ordinary or hopping
    known[#known + 1] = {id, fields}
  elseif incomplete or (name == '' and value(fields, 'ebrest', ours, #fields)) then
    left[#left + 1] = id
  elseif known < 0 then
    remove(id)
    counts.dropped = counts.dropped + 1
  elseif known < version then
    bury(id, fields, 'newer', name)
  elseif now - (tonumber(value(fields, 'ebhopped', ours, #fields)) or now) >= tonumber(ARGV[5]) then
    bury(id, fields, 'unhandled', name)
  else
    left[#left + 1] = id
  end
end

local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not entry then
    redis.call('ZREM', KEYS[2], id)
    counts.missing = counts.missing + 1
  elseif #entry[2] > 7900 then  -- written by another hand: more than Lua's stack takes. It must not stop the others
    redis.call('ZADD', KEYS[2], now + 60000, id)
    counts.spoiled = counts.spoiled + 1
  else
    local ours = block(entry[2])
    if value(entry[2], 'ebhops', ours, #entry[2]) then
      hop(id, entry[2], ours)
    else
      ordinary[#ordinary + 1] = {id, entry[2]}
    end
  end
end

-- What hops is read here and now: first what stands before it, then itself, as far as there is credit.
local given = {}
local function read()
  if #given >= credit then return end
  local reply = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', credit - #given, 'STREAMS', KEYS[3], '>')
  if reply and reply.err then return reply.err end
  for _, entry in ipairs(reply and reply[1][2] or {}) do given[#given + 1] = entry end
end

if #hopping > 0 then
  local wrong = read()
  if wrong then return redis.error_reply(wrong) end
  local free = credit - #given
  for at, copy in ipairs(hopping) do
    if at <= free then promote(copy[1], copy[2]) else left[#left + 1] = copy[1] end
  end
  read()
end
for _, copy in ipairs(ordinary) do promote(copy[1], copy[2]) end

-- Copies that wait for a member that knows them must not hide what is due behind them, nor keep promoters busy: the
-- more there are, the longer each is put off. A few are left where any member may see them: they cost little.
if #ids == limit and #left > limit / 2 then
  local later = now + math.max(1000, math.floor(redis.call('ZCOUNT', KEYS[2], '-inf', now) / 2))
  for _, id in ipairs(left) do redis.call('ZADD', KEYS[2], later, id) end
end

local following = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local wait = following[2] and math.max(0, tonumber(following[2]) - now) or -1
if #ids == limit then wait = #left == limit and 50 or 0 end
return {counts.promoted, wait, given, counts.missing, counts.dropped, counts.newer, counts.unhandled, counts.spoiled}
