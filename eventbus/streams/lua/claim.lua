-- Take over entries whose consumer has been silent for the lease: one window of the group's pending list.
--
-- KEYS  1 the stream   2 the group's hash   3 the group's dead letters
-- ARGV  1 group   2 consumer   3 this member's lease in milliseconds   4 the id after which to go on, "" for the
--       beginning   5 rows to look at   6 most entries to take, at least 1   7 most bytes to take   8 most entries to take
--       that were handed over as often as in 9   9 that number   10 "1" when the stream is private
--       11 the time as RFC 3339, for tombstones   12 the server's milliseconds after which it is too late
-- Returns {the last id looked at, "" when the list is at its end; the group's token, "" when it is missing;
--       {{id, {field, value, …}, delivery count}, …} that were taken; {{id, idle milliseconds}, …} that are
--       stale and this consumer's own; {id, …} that were cut from the stream while they were pending}; or -1 when
--       it is too late: the call was held up while owners could not renew either
--
-- Atomic because: between the look at a row and its claim the owner may renew it. JUSTID keeps the delivery
-- count: what is only handed over was not started. From 7.0 on XCLAIM drops the row of an entry that was cut
-- without a word, so such a row gets a tombstone among the dead letters, and is acknowledged in the same step.
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[12]) then return -1 end
local facts = redis.call('HMGET', KEYS[2], 'token', 'lease')
local token = facts[1] or ''
local lease = math.max(tonumber(ARGV[3]), tonumber(facts[2]) or 0)
local room, bytes, lasts = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local taken, own, cut = {}, {}, {}

local function bury(id, owner, count)
  local letter = redis.pcall('XADD', KEYS[3], '*', 'ebentry', id, 'ebreason', 'trimmed', 'ebgroup', ARGV[1],
    'ebdeliveries', count, 'ebconsumer', owner, 'ebfailed', ARGV[11])
  if type(letter) == 'table' and letter.err then return end
  redis.call('XACK', KEYS[1], ARGV[1], id)
  cut[#cut + 1] = id
end

local function take(id, entry, count)
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
  taken[#taken + 1] = {id, entry[2], count}
  room = room - 1
  for _, value in ipairs(entry[2]) do bytes = bytes - #value end
end

local start = ARGV[4] == '' and '-' or '(' .. ARGV[4]
local rows = redis.pcall('XPENDING', KEYS[1], ARGV[1], start, '+', ARGV[5])
if rows.err then return redis.error_reply(rows.err) end
local last = ARGV[4]
for _, row in ipairs(rows) do
  local id, owner, idle, count = row[1], row[2], row[3], row[4]
  if idle >= lease then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if not entry then
      bury(id, owner, count)
    elseif owner == ARGV[2] then
      own[#own + 1] = {id, idle}
    elseif room < 1 or bytes < 0 then
      return {last, token, taken, own, cut}
    elseif count ~= tonumber(ARGV[9]) then
      take(id, entry, count)
    elseif lasts > 0 then
      lasts = lasts - 1
      take(id, entry, count)
    end
  end
  last = id
end
if #rows < tonumber(ARGV[5]) then last = '' end
return {last, token, taken, own, cut}
