-- Ends those of the sessions ARGV[4...] that have expired; gives them, and those that the operation ARGV[3] ended
-- before.
local ended = {}
for position = 4, #ARGV do
  local id = ARGV[position]
  local m = record(id)
  if not m then
    -- The server has thrown it away meanwhile.
    call('ZREM', P .. 'due', id)
    call('ZREM', P .. 'all', id)
  elseif m[RS] then
    call('ZREM', P .. 'due', id)
    if has_done(id, ARGV[3]) then
      ended[#ended + 1] = shown(id, m)
    end
  elseif not is_active(m) then
    finish(id, m, 'expired', ARGV[3])
    ended[#ended + 1] = shown(id, m)
  end
end
return answer(ended)
