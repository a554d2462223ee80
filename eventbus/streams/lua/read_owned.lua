-- Read new entries of an ordered group, as its owner.
--
-- KEYS  1 the topic's stream   2 the group's private stream   3 the group's owner
-- ARGV  1 group   2 consumer   3 the epoch   4 the reading   5 most entries of each stream
-- Returns {{{id, {field, value, …}}, …} of the topic, the same of the private stream, the last ids that the group was
--       given of both where nothing came}; -1 when the epoch is another's or gone, -2 when the reading is
--
-- Atomic because: a blocked XREADGROUP of an owner that was frozen, or a read that waits in the socket of a connection
-- that was given up, would be served after another owner has taken over everything pending, or after this one has
-- found again what a lost reply brought: entries would be given to somebody who does not know of them, and later ones
-- would be handled before them. So a read is executed under its epoch and its reading, or not at all; it cannot block.
local facts = redis.call('HMGET', KEYS[3], 'token', 'reader')
if facts[1] ~= ARGV[3] then return -1 end
if facts[2] ~= ARGV[4] then return -2 end

local found = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], KEYS[2], '>', '>')
if found and found.err then return redis.error_reply(found.err) end
local parts = {{}, {}}
for _, part in ipairs(found or {}) do parts[part[1] == KEYS[1] and 1 or 2] = part[2] end

local function last(key)
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local about = {}
    for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
    if about.name == ARGV[1] then return about['last-delivered-id'] end
  end
  return '$'
end

if found then return {parts[1], parts[2], '', ''} end
return {{}, {}, last(KEYS[1]), last(KEYS[2])}
