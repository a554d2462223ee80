-- Put dead letters back into the group's private stream, to be handled again by this group alone.
--
-- KEYS  1 the group's dead letters   2 its private stream   3 its hash   4 the set of groups
-- ARGV  1 group   2 "1" to look only and write nothing   3 bytes after which to stop   4… ids of dead letters
-- Returns a number for each id that was looked at, from the first on, at least one: 1 redriven, 2 gone (there is
--       no such dead letter), 3 a tombstone (the entry was cut before anybody handled it: nothing to redrive),
--       4 too many fields for a script; or -1 for all: nobody ever served the group, or it was abandoned
--
-- Atomic because: a crash between the copy and the removal would double the event, or lose it the other way
-- round. A second call finds nothing. XADD stands first: at maxmemory it is refused before anything changed.
if redis.call('HEXISTS', KEYS[3], 'token') == 0 and redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 0 then return -1 end
local bytes = tonumber(ARGV[3])
local most = 7900 -- names and values: Lua's stack has room for 8,000

-- What we wrote stands last; the last of a name counts.
local function parted(fields)
  local ours, block = #fields + 1, {}
  for i = #fields - 1, 1, -2 do
    if fields[i] == 'ebentry' then
      ours = i
      break
    end
  end
  for i = ours, #fields - 1, 2 do block[fields[i]] = fields[i + 1] end
  return ours, block
end

local function copied(fields, ours, block)
  local copy = {}
  for i = 1, ours - 1 do copy[i] = fields[i] end
  local redrives = (tonumber(block.ebredrives) or 0) + 1
  local carried = {'ebentry', block.ebentry or '', 'ebredrives', string.format('%.0f', redrives)}
  for _, name in ipairs({'ebreplayed', 'ebrest'}) do
    if block[name] then
      carried[#carried + 1] = name
      carried[#carried + 1] = block[name]
    end
  end
  for _, value in ipairs(carried) do copy[#copy + 1] = value end
  return copy
end

local function redrive(id)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not entry then return 2 end
  local fields = entry[2]
  for _, value in ipairs(fields) do bytes = bytes - #value end
  local ours, block = parted(fields)
  if ours == 1 then return 3 end
  if #fields > most then return 4 end
  if ARGV[2] == '1' then return 1 end
  redis.call('XADD', KEYS[2], '*', unpack(copied(fields, ours, block)))
  redis.call('XDEL', KEYS[1], id)
  return 1
end

local answers = {}
for i = 4, #ARGV do
  answers[#answers + 1] = redrive(ARGV[i])
  if bytes <= 0 then break end
end
return answers
