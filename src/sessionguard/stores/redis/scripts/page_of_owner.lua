-- Gives sessions of an owner, newest first, that were created at ARGV[6] or before; all of one instant together.
-- ARGV: 3 owner, 4 scope or '', 5 status or '', 6 instant, 7 about how many to look at. Also gives the instant at which
-- to go on, or false.
local OWNER, WANTED = ARGV[3], tonumber(ARGV[7])
local kinds = ARGV[5] == 'active' and {'o:'} or {'o:', 'h:'}
local since, go_on = '-inf', false
for _, kind in ipairs(kinds) do
  local some = call('ZREVRANGEBYSCORE', owner_key(kind, OWNER), ARGV[6], '-inf', 'WITHSCORES', 'LIMIT', 0, WANTED)
  if #some == 2 * WANTED then
    local last = tonumber(some[#some])
    if not go_on or last > go_on then
      since, go_on = text(last), last
    end
  end
end
local found = {}
for _, kind in ipairs(kinds) do
  for _, id in ipairs(call('ZREVRANGEBYSCORE', owner_key(kind, OWNER), ARGV[6], since)) do
    local m = record(id)
    if m and m[OW] == OWNER and (ARGV[4] == '' or m[SC] == ARGV[4])
      and (ARGV[5] == '' or (ARGV[5] == 'active') == is_active(m))
    then
      found[#found + 1] = shown(id, m)
    end
  end
end
return answer(found, go_on and text(go_on - 1) or false, has_nothing(OWNER))
