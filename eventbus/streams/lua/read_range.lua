-- Read a page of each of some streams, with what tells whether something before it is gone.
--
-- KEYS  1 a stream   then further ones
-- ARGV  1 most entries of each   2 bytes of each after which to stop   3 "1" from the newest on, beginning then being
--       the later end   then for each stream where to begin and where to end, as XRANGE takes them
-- Returns for each stream {the last id it ever gave, "" where it is not there; the id of its oldest entry, "" for none;
--       how many entries were ever added, -1 where the server does not say; how many there are; the largest id that was
--       deleted by name, "" where the server does not say; {{id, {name, value, …}}, …}; 1 when there may be more}
--
-- Atomic because: what was trimmed between a look at the stream and the reading would be missed without a word. And a
-- reply is bounded in bytes, which no command can do: pages grow with what was found small, since each is built in the
-- server's memory. Cost: XINFO STREAM builds the oldest and the newest entry.
local most, bytes, reverse = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local command = reverse and 'XREVRANGE' or 'XRANGE'

local function facts(key)
  if redis.call('EXISTS', key) == 0 then return {'', '', 0, 0, ''} end
  local row, about = redis.call('XINFO', 'STREAM', key), {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  local first = about['first-entry']
  return {
    about['last-generated-id'], first and first[1] or '', about['entries-added'] or -1, about['length'],
    about['max-deleted-entry-id'] or '',
  }
end

local function page(key, begin, ending)
  local rows, size, room = {}, math.min(1, most), bytes
  while size > 0 and room > 0 do
    local found = redis.call(command, key, begin, ending, 'COUNT', size)
    for _, row in ipairs(found) do
      rows[#rows + 1] = row
      for _, part in ipairs(row[2]) do room = room - #part end
    end
    if #found < size then return rows, 0 end
    begin = '(' .. found[#found][1]
    size = math.min(most - #rows, 100, math.max(1, math.floor(room / ((bytes - room) / #rows))))
  end
  return rows, 1
end

local answer = {}
for i, key in ipairs(KEYS) do
  local about = facts(key)
  about[6], about[7] = page(key, ARGV[2 * i + 2], ARGV[2 * i + 3])
  answer[i] = about
end
return answer
