-- Let events start that the group has not finished, each in one place at a time. What it has finished is settled.
--
-- KEYS  1 the stream the entries are in   2 the group's hash, or its owner where it is ordered   3 its finished events
--       4 its events in progress   5… every stream in which entries of the group may stand   then, where it is ordered,
--       the attempts of the stream's entries
-- ARGV  1 group   2 consumer   3 the token known when the entries were read   4 "1" when the stream is private
--       5 this member's lease in milliseconds   6 marks in progress from which on leftovers are looked for
--       7 how many streams are named   then an entry id and its event's id in turn
-- Returns a number for each entry: 1 it may start, and is marked; 2 finished: it was acknowledged; 3 another delivery of
--       its event is in progress; 4 the group is another one now, and the event not known to be finished
--
-- Atomic because: of two deliveries of one event that ask at once one may start; and one that asks while the other
-- finishes finds either its mark in progress or its mark of the end, which finish.lua writes in the step that removes
-- the first. HSET stands first: at maxmemory it is refused before anything changed.
--
-- A mark in progress says where its delivery stands: stream, entry id, consumer. It holds while that row is pending for
-- that consumer, so that whoever takes the row over is not held up, and no row at all is none. And not for longer than two
-- leases without a beat: a lease, and the grace that owners have after an outage before they are taken for dead.
-- What failed, was released or dead-lettered leaves its mark behind, which holds nothing; where there are many, two of
-- them by chance are looked at for each that is written, so that no more are left over than are in progress.
local facts = redis.call('HMGET', KEYS[2], 'token', 'lease')
local same = facts[1] == ARGV[3]
local patience = 2 * math.max(tonumber(ARGV[5]), tonumber(facts[2]) or 0)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids, names, streams = {}, {}, {}
for at = 8, #ARGV, 2 do
  ids[#ids + 1], names[#names + 1] = ARGV[at], ARGV[at + 1]
end
for i = 5, 4 + ARGV[7] do streams[KEYS[i]] = KEYS[i] end
local attempts = 5 + ARGV[7]

local function holds(place)
  local stream, id, consumer = string.match(place, '^(%S+) (%S+) (.+)$')
  local key = streams[stream or '']
  if not key then return false end
  local rows = redis.pcall('XPENDING', key, ARGV[1], id, id, 1, consumer)
  return not rows.err and #rows == 1 and rows[1][3] < patience
end

local finished = redis.call('ZMSCORE', KEYS[3], unpack(names))
local begun = redis.call('HMGET', KEYS[4], unpack(names))
local answers, marks, settled, taken = {}, {}, {}, {}

local function answer(i)
  local name, place = names[i], KEYS[1] .. ' ' .. ids[i] .. ' ' .. ARGV[2]
  if finished[i] and tonumber(finished[i]) > now then
    settled[#settled + 1] = ids[i]
    return 2
  end
  if not same then return 4 end
  local holder = taken[name] or begun[i]
  if holder and holder ~= place and holds(holder) then return 3 end
  taken[name] = place
  if holder ~= place then
    marks[#marks + 1] = name
    marks[#marks + 1] = place
  end
  return 1
end

for i = 1, #ids do answers[i] = answer(i) end
if #marks > 0 then redis.call('HSET', KEYS[4], unpack(marks)) end
if same and #settled > 0 then
  redis.call('XACK', KEYS[1], ARGV[1], unpack(settled))
  if ARGV[4] == '1' then redis.call('XDEL', KEYS[1], unpack(settled)) end
  if KEYS[attempts] then redis.call('HDEL', KEYS[attempts], unpack(settled)) end
end
if #marks > 0 and redis.call('HLEN', KEYS[4]) > tonumber(ARGV[6]) then
  local some = redis.call('HRANDFIELD', KEYS[4], #marks, 'WITHVALUES')
  for i = 1, #some, 2 do
    if not holds(some[i + 1]) then redis.call('HDEL', KEYS[4], some[i]) end
  end
end
return answers
