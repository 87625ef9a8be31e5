-- Ends the active sessions of an owner in this shard; gives them, the other shards to visit, and '1' if it has none.
-- ARGV: 3 operation, 4 owner, 5 scope or '', 6 id to keep or '', 7 reason, 8 milliseconds to remember the answer.
local log = P .. 'w:' .. ARGV[3]
local known = call('GET', log)
local ended, ids = {}, {}
if known then
  -- The owner may have come back since; those sessions are not the ones that were meant.
  local shards, names = unpack(cmsgpack.unpack(known))
  for _, id in ipairs(names) do
    local m = record(id)
    if m then
      ended[#ended + 1] = shown(id, m)
    end
  end
  return answer(ended, shards, '')
end
-- Frees nothing, but lets the log of a full server be written.
call('DEL', log)
for _, id in ipairs(call('ZRANGE', owner_key('o:', ARGV[4]), 0, -1)) do
  local m = record(id)
  if not m then
    call('ZREM', owner_key('o:', ARGV[4]), id)
  elseif m[OW] == ARGV[4] and is_active(m) and (ARGV[5] == '' or m[SC] == ARGV[5]) and id ~= ARGV[6] then
    finish(id, m, ARGV[7], ARGV[3])
    ids[#ids + 1] = id
    ended[#ended + 1] = shown(id, m)
  end
end
local shards = elsewhere(ARGV[4])
call('SET', log, cmsgpack.pack({shards, ids}), 'PX', ARGV[8])
return answer(ended, shards, has_nothing(ARGV[4]))
