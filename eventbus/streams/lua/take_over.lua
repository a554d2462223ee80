-- Take over what is pending in an ordered group, whoever it was given to: a page of it, in the order of its ids.
--
-- KEYS  1 the stream   2 the group's owner   3 the group's dead letters   4 the attempts of the stream's entries
-- ARGV  1 group   2 consumer   3 the epoch   4 the reading that begins with this walk, or that it belongs to
--       5 the id after which to go on, "" for the beginning   6 rows to look at   7 most bytes to take
--       8 the time as RFC 3339, for tombstones   9 "1" when a reading begins
-- Returns {the last id looked at, "" when the list is at its end; {{id, {field, value, …}, delivery count, attempts}, …};
--       {id, …} that were cut from the stream while they were pending}; or -1 when the epoch is another's or gone
--
-- Atomic because: the look at the epoch is the licence to take rows from whoever has them. Nobody but the owner reads or
-- claims, so what is pending when a walk begins is all there is, but for what the owner itself reads after it. A walk
-- begins a new reading: a read of an earlier one, which is executed late on a connection that was given up, is refused
-- (see read_owned.lua). JUSTID and tombstones: see claim.lua.
if redis.call('HGET', KEYS[2], 'token') ~= ARGV[3] then return -1 end
if ARGV[9] == '1' then
  redis.call('HDEL', KEYS[2], '')
  redis.call('HSET', KEYS[2], 'reader', ARGV[4])
end
local bytes = tonumber(ARGV[7])
local taken, cut = {}, {}

local function bury(id, owner, count)
  local letter = redis.pcall('XADD', KEYS[3], '*', 'ebentry', id, 'ebreason', 'trimmed', 'ebgroup', ARGV[1],
    'ebdeliveries', count, 'ebconsumer', owner, 'ebfailed', ARGV[8])
  if type(letter) == 'table' and letter.err then return end
  redis.call('XACK', KEYS[1], ARGV[1], id)
  redis.call('HDEL', KEYS[4], id)
  cut[#cut + 1] = id
end

local function take(id, entry, count)
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
  taken[#taken + 1] = {id, entry[2], count, tonumber(redis.call('HGET', KEYS[4], id)) or 0}
  for _, value in ipairs(entry[2]) do bytes = bytes - #value end
end

local start = ARGV[5] == '' and '-' or '(' .. ARGV[5]
local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], start, '+', ARGV[6])
if rows.err then return redis.error_reply(rows.err) end
local last = ARGV[5]
for _, row in ipairs(rows) do
  if bytes < 0 then return {last, taken, cut} end
  local id, owner, count = row[1], row[2], row[4]
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then take(id, entry, count) else bury(id, owner, count) end
  last = id
end
if #rows < tonumber(ARGV[6]) then last = '' end
return {last, taken, cut}
