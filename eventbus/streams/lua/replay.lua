-- Copy the next entries of a replay into the group's private stream, to be handled again by this group alone.
--
-- KEYS  1 the topic's stream   2 the group's private stream   3 the group's replay   4 its hash   5 the set of groups
-- ARGV  1 group   2 the id of the replay   3 most entries to look at   4 bytes after which to stop   5 entries in the
--       private stream from which on nothing is copied, -1 for no bound   6 milliseconds for which a replay that is done is kept
-- Returns {what it is at; entries in the private stream; {name, value, …} of the replay}. What it is at: 1 there is more,
--       2 done, 3 another replay stands there, or none, 4 nobody ever served the group, or it was abandoned, 5 the group's
--       place on the topic is lost
--
-- Atomic because: the cursor moves in the step that copies. A call that is sent again, or two callers at once, go on
-- behind what was copied, and copy nothing twice. What is still pending in the group is handled anyway, and passed over.
-- The cursor names an entry that was there: where it is not there any more, entries were cut before they were copied.
-- XADD stands first, or else the only HSET: at maxmemory it is refused before anything changed. The topic is only read.
local function about() return redis.call('HGETALL', KEYS[3]) end
local names = {'id', 'cursor', 'until', 'copied', 'pending', 'large', 'cutfrom', 'done'}
local found, replay = redis.call('HMGET', KEYS[3], unpack(names)), {}
for i, name in ipairs(names) do replay[name] = found[i] end
if redis.call('HEXISTS', KEYS[4], 'token') == 0 and redis.call('SISMEMBER', KEYS[5], ARGV[1]) == 0 then return {4, 0, {}} end
if replay.id ~= ARGV[2] then return {3, 0, {}} end
local waiting = redis.call('XLEN', KEYS[2])
if replay.done then return {2, waiting, about()} end

local left, bytes, bound = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local room = bound < 0 and left or bound - waiting
if room < 1 then return {1, waiting, about()} end
if redis.pcall('XPENDING', KEYS[1], ARGV[1]).err then return {5, 0, {}} end

local counts = {copied = tonumber(replay.copied), pending = tonumber(replay.pending)}
local large, changes = replay.large, {}
local most = 7900 -- names and values: Lua's stack has room for 8,000

local function copy(id, fields)
  if redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1] then
    counts.pending = counts.pending + 1
  elseif #fields > most then
    large = large == '' and id or large .. ' ' .. id
  else
    for i, value in ipairs({'ebentry', id, 'ebreplayed', '1'}) do fields[#fields + 1] = value end
    redis.call('XADD', KEYS[2], '*', unpack(fields))
    counts.copied, room, waiting = counts.copied + 1, room - 1, waiting + 1
  end
end

local start, last = replay.cursor, nil
while left > 0 and bytes > 0 and room > 0 do
  local page = redis.call('XRANGE', KEYS[1], start, replay['until'], 'COUNT', math.min(20, left))
  if not last and (not page[1] or page[1][1] ~= replay.cursor) then
    changes = {'cutfrom', replay.cutfrom ~= '' and replay.cutfrom or replay.cursor, 'cutto', page[1] and page[1][1] or replay['until']}
  end
  for _, entry in ipairs(page) do
    if bytes <= 0 or room <= 0 then break end
    for _, value in ipairs(entry[2]) do bytes = bytes - #value end
    copy(entry[1], entry[2])
    last, left = entry[1], left - 1
  end
  if #page == 0 then break end
  start = '(' .. last
end

local following = last and redis.call('XRANGE', KEYS[1], '(' .. last, replay['until'], 'COUNT', 1)[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for _, change in ipairs({'cursor', following and following[1] or replay['until'], 'large', large, 'at', now}) do
  changes[#changes + 1] = change
end
for name, count in pairs(counts) do
  changes[#changes + 1] = name
  changes[#changes + 1] = string.format('%.0f', count)
end
if not following then
  changes[#changes + 1] = 'done'
  changes[#changes + 1] = now
end
redis.call('HSET', KEYS[3], unpack(changes))
if not following then redis.call('PEXPIRE', KEYS[3], ARGV[6]) end
return {following and 1 or 2, waiting, about()}
