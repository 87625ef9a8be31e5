-- Looks at the sessions ARGV[6...], which have seats in the home shard of the owner ARGV[3]. Gives for each: 'alive'
-- with its creation and when it was last seen; 'over', it has expired; 'ended' and the session, which the operation
-- ARGV[5] has ended; 'gone'; or 'pending', it is not that owner's. ARGV[4] '1': one that is pending will not become the
-- owner's by what was announced so far.
local found = {}
for position = 6, #ARGV do
  local id = ARGV[position]
  local m = record(id)
  if m and m[RS] and has_done(id, ARGV[5]) then
    found[#found + 1] = {id, 'ended', shown(id, m)}
  elseif not m or m[RS] then
    found[#found + 1] = {id, 'gone'}
  elseif not is_active(m) then
    found[#found + 1] = {id, m[OW] == ARGV[3] and 'over' or 'gone'}
  elseif m[OW] == ARGV[3] then
    found[#found + 1] = {id, 'alive', m[CR], m[LS]}
  else
    if ARGV[4] == '1' then
      call('HSET', P .. 's:' .. id, 'ba', text(TIME))
    end
    found[#found + 1] = {id, 'pending'}
  end
end
return answer(found)
