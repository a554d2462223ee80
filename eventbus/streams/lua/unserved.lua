-- Name the groups of a service that no living consumer serves.
--
-- KEYS  1 the set of groups   then for each group asked about: its hash, its members
-- ARGV  1 service   2 milliseconds of silence after which a member counts as gone, unless its own lease is longer
--       3… group names
-- Returns the names of those groups
--
-- A script because: ages are differences on the server's clock.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = {}
for i = 3, #ARGV do
  local at = 2 * (i - 2)
  if redis.call('HGET', KEYS[at], 'service') == ARGV[1] then
    local alive = false
    for _, record in ipairs(redis.call('HVALS', KEYS[at + 1])) do
      local ok, member = pcall(cjson.decode, record)
      if ok and type(member) == 'table' then
        local stands = math.max(tonumber(ARGV[2]), (tonumber(member.lease) or 0) * 1000)
        if now - (tonumber(member.time) or 0) < stands then alive = true end
      end
    end
    if not alive then names[#names + 1] = ARGV[i] end
  end
end
return names
