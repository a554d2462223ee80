-- Give scheduled entries that have no due time theirs again: it stands in our block, too.
--
-- KEYS  1 the scheduled entries   2 their due times   3 their event ids
-- ARGV  1 the id after which to go on, "" for the beginning   2 most entries to look at   3 bytes after which to stop
-- Returns {the last id looked at, "" at the end or when nothing is missing; how many had none}
--
-- Atomic because: between the look at an entry and its new due time somebody may promote it.
-- Cost: nothing is read where nothing is missing; else whole entries, a few at a time, up to the bytes.
if redis.call('XLEN', KEYS[1]) <= redis.call('ZCARD', KEYS[2]) then return {'', 0} end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local last, room, bytes, mended = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), 0

local function mend(id, fields)
  local milliseconds, number = string.match(id, '(%d+)-(%d+)')
  local member = milliseconds .. '-' .. string.rep('0', 10 - #number) .. number
  local due = fields[#fields - 5] == 'ebdue' and string.match(fields[#fields - 4], '^%d+$') or now
  if redis.call('ZADD', KEYS[2], 'NX', due, member) == 0 then return end
  mended = mended + 1
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then return redis.call('HSETNX', KEYS[3], fields[i + 1], member) end
  end
end

while room > 0 and bytes > 0 do
  local rows = redis.call('XRANGE', KEYS[1], last == '' and '-' or '(' .. last, '+', 'COUNT', math.min(10, room))
  if #rows == 0 then return {'', mended} end
  for _, row in ipairs(rows) do
    last = row[1]
    mend(last, row[2])
    for _, value in ipairs(row[2]) do bytes = bytes - #value end
  end
  room = room - #rows
end
return {last, mended}
