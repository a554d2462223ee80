-- Remove consumers that are gone and owe nothing, and their heartbeats.
--
-- KEYS  1 the topic's stream   2 the group's private stream   3 the group's members
-- ARGV  1 group   2 milliseconds of silence after which a consumer counts as gone
-- Returns {the consumers that were removed from either stream, …}
--
-- Atomic because: XGROUP DELCONSUMER destroys the consumer's pending entries without a word, so it may run only
-- in the step that saw there are none. It never takes entries: claiming empties a consumer. One that lives after
-- all loses nothing; its next read makes it again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local silence = tonumber(ARGV[2])

local function alive(name)
  local ok, member = pcall(cjson.decode, redis.call('HGET', KEYS[3], name) or '')
  return ok and type(member) == 'table' and now - (tonumber(member.time) or 0) < silence
end

local removed, owing = {}, {}
for i = 1, 2 do
  local rows = redis.pcall('XINFO', 'CONSUMERS', KEYS[i], ARGV[1])
  for _, row in ipairs(rows.err and {} or rows) do
    local about = {}
    for at = 1, #row, 2 do about[row[at]] = row[at + 1] end
    if about.pending > 0 then
      owing[about.name] = true
    elseif about.idle >= silence and not alive(about.name) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[i], ARGV[1], about.name)
      removed[#removed + 1] = about.name
    end
  end
end
for _, name in ipairs(redis.call('HKEYS', KEYS[3])) do
  if not owing[name] and not alive(name) then redis.call('HDEL', KEYS[3], name) end
end
return removed
