-- Trim a topic's stream: of what every group has settled, the oldest beyond a length or an age.
--
-- KEYS  1 the stream   2 the set of groups   3… the hash of each group named in ARGV
-- ARGV  1 most entries to keep, "" for no limit   2 most milliseconds to keep one, "" for no limit
--       3 "1" for a hard cap: what is beyond it goes, settled or not   4 "1" for exact, "0" for whole nodes of the
--       stream   5 most entries to remove in an exact call   6… the groups of the set
-- Returns {entries removed that were settled; entries removed that were not; entries left; the watermark, "" for
--       none; {group, …} whose place on the stream is missing; {group, …} that hold the watermark; 1 when an exact
--       call can remove more at once}, or -1 when the set of groups is another one by now: ask again
--
-- Atomic because: a group that is created between the look and the cut would find its backlog gone. Groups of
-- other programs count as ours do. Ids are compared as numbers: as text 9-0 comes after 10-0. Each group's own
-- watermark (the smaller of the last id it was given and the smallest that is pending: after a SETID back the
-- former is) is kept, to restart from when the group is lost. A group that is missing stops all trimming,
-- and so does one that began elsewhere than at 0 less than a lease ago: it may be set back yet (see ensure_group.lua).
-- Cost: a look at each group; an exact call reads what it removes, payloads included.
local names = redis.call('SMEMBERS', KEYS[2])
local asked = {}
for i = 6, #ARGV do asked[ARGV[i]] = KEYS[i - 3] end
local same = #names == #ARGV - 5
for _, name in ipairs(names) do same = same and asked[name] ~= nil end
if not same then return -1 end

local function less(one, two)
  local a, b = string.match(one, '^(%d+)-'), string.match(two, '^(%d+)-')
  if a ~= b then return #a < #b or (#a == #b and a < b) end
  a, b = string.match(one, '-(%d+)$'), string.match(two, '-(%d+)$')
  return #a < #b or (#a == #b and a < b)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- By the clock: at maxmemory no heartbeat ends it, and trimming is what helps there.
local function is_young(key)
  local facts = redis.call('HMGET', key, 'begunat', 'lease')
  return now - (tonumber(facts[1]) or 0) < (tonumber(facts[2]) or 0)
end

local there = redis.call('EXISTS', KEYS[1]) == 1
local rows = there and redis.call('XINFO', 'GROUPS', KEYS[1]) or {}
local watermark, holding, found, settled_at, young = nil, {}, {}, false, false
for _, row in ipairs(rows) do
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  local low, pending = about['last-delivered-id'], redis.call('XPENDING', KEYS[1], about.name)
  local given = low
  if pending[1] > 0 and less(pending[2], low) then low = pending[2] end
  found[about.name] = true
  young = young or (asked[about.name] and is_young(asked[about.name]))
  if not watermark or less(low, watermark) then
    watermark, holding, settled_at = low, {}, true
  end
  if low == watermark then
    holding[#holding + 1] = about.name
    settled_at = settled_at and pending[1] == 0 and given == low
  end
  -- Refused at maxmemory, where trimming is what helps: an older watermark is the safe side.
  if asked[about.name] then redis.pcall('HSET', asked[about.name], 'watermark', low) end
end
local missing = {}
for name in pairs(asked) do
  if not found[name] then missing[#missing + 1] = name end
end

local keep, age, more = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local oldest = age and string.format('%.0f-0', math.max(0, now - age))
local exact, most = ARGV[4] == '1', tonumber(ARGV[5])

local function trim(...) return redis.call('XTRIM', KEYS[1], ...) end

-- Where a step of so many entries ends: the id behind them, or `bound` where that comes first. One entry is looked at
-- first, then pages: whole entries are built in memory, and mostly there is nothing to remove.
local function edge_behind(count, bound)
  local after, left, size = '-', count + 1, 1
  while true do
    local page = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', math.min(size, left))
    if #page == 0 then return bound end
    local last = page[#page][1]
    if not less(last, bound) then return bound end
    left, after, size = left - #page, '(' .. last, 100
    if left == 0 then return last end
  end
end

-- Up to `bound` at the most; without one (a hard cap) as far as length and age say.
local function cut(bound)
  local removed = 0
  if oldest then
    local edge = (bound and less(bound, oldest)) and bound or oldest
    removed = exact and trim('MINID', '=', edge) or trim('MINID', '~', edge)
  end
  local excess = keep and redis.call('XLEN', KEYS[1]) - keep or 0
  if excess <= 0 then return removed end
  if not bound then return removed + (exact and trim('MAXLEN', '=', keep) or trim('MAXLEN', '~', keep)) end
  if not exact then return removed + trim('MINID', '~', bound, 'LIMIT', excess) end
  local edge = edge_behind(math.min(excess, most), bound)
  -- What the watermark holds back is no more to do: it would be asked for again at once, for ever.
  if excess > most and less(edge, bound) then more = 1 end
  return removed + trim('MINID', '=', edge)
end

-- Settled entries that still stand, the watermark's own included where nothing is pending; at most 10,000.
local function standing()
  local after, count = '-', 0
  while count < 10000 do
    local page = redis.call('XRANGE', KEYS[1], after, watermark, 'COUNT', 100)
    if #page == 0 then break end
    count = count + #page
    after = '(' .. page[#page][1]
    if page[#page][1] == watermark then return settled_at and count or count - 1 end
  end
  return count
end

local settled, unsettled = 0, 0
if there and watermark and #missing == 0 and not young then settled = cut(watermark) end
if there and ARGV[3] == '1' then
  -- Whole nodes go: what was settled in the last of them is no loss.
  local before = watermark and #missing == 0 and standing() or 0
  local removed = cut(nil)
  settled, unsettled = settled + math.min(removed, before), math.max(0, removed - before)
end
-- Kept with the groups that were furthest behind, for whoever asks what they lost.
for _, name in ipairs(unsettled > 0 and holding or {}) do
  if asked[name] then redis.pcall('HINCRBY', asked[name], 'cut', unsettled) end
end
return {settled, unsettled, there and redis.call('XLEN', KEYS[1]) or 0, watermark or '', missing, holding, more}
