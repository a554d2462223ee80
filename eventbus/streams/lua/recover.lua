-- Read again entries that are pending for this consumer but that it does not know: the reply that
-- brought them was lost.
--
-- KEYS  1 the stream
-- ARGV  1 group   2 consumer   3 bytes after which to stop   4… ids
-- Returns {how many ids were looked at; {{id, {field, value, …}, delivery count}, …}}; the fields are false where the
--       entry itself was trimmed
--
-- Atomic because: between the look at the owner and the claim another consumer could take the row.
-- JUSTID leaves the delivery count as it is (nothing was started) and makes the lease new. A trimmed
-- row is left alone: from 7.0 on XCLAIM would drop it without a word.
local found, bytes, last = {}, tonumber(ARGV[3]), #ARGV
for i = 4, #ARGV do
  local id = ARGV[i]
  local row = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if #row == 1 then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID') end
    found[#found + 1] = {id, entry and entry[2] or false, row[1][4]}
    for _, value in ipairs(entry and entry[2] or {}) do bytes = bytes - #value end
  end
  if bytes <= 0 then
    last = i
    break
  end
end
return {last - 3, found}
