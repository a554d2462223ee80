-- Describe a page of dead letters without their payloads: what we wrote behind the original fields.
--
-- KEYS  1 the group's dead letters
-- ARGV  1 where to begin   2 where to end   3 "1" from the newest on, beginning then being the later one
--       4 most dead letters   5 bytes after which to stop
-- Returns {{{id, {name, value, …} of ours, event type, event id, original names and values, bytes}, …}, 1 when
--       there may be more}
--
-- A script because: XRANGE would send every payload, to show a line of each. It is read in small pages, since a
-- whole range would be built in the server's memory.
local command = ARGV[3] == '1' and 'XREVRANGE' or 'XRANGE'
local most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local start, rows = ARGV[1], {}

local function described(id, fields)
  local ours, size, block, first = #fields + 1, 0, {}, {}
  for i = #fields - 1, 1, -2 do
    if fields[i] == 'ebentry' then
      ours = i
      break
    end
  end
  for _, value in ipairs(fields) do size = size + #value end
  for i = 1, ours - 1, 2 do first[fields[i]] = first[fields[i]] or fields[i + 1] end
  for i = ours, #fields - 1, 2 do
    if fields[i] ~= 'ebtraceback' and fields[i] ~= 'ebrest' then
      block[#block + 1] = fields[i]
      block[#block + 1] = fields[i + 1]
    end
  end
  return {id, block, first.type or '', first.id or '', ours - 1, size}
end

while #rows < most and bytes > 0 do
  local page = redis.call(command, KEYS[1], start, ARGV[2], 'COUNT', math.min(20, most - #rows))
  if #page == 0 then return {rows, 0} end
  for _, entry in ipairs(page) do
    rows[#rows + 1] = described(entry[1], entry[2])
    bytes = bytes - rows[#rows][6]
  end
  start = '(' .. page[#page][1]
end
return {rows, 1}
