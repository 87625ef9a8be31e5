-- Takes the lock if it is free or lapsed and the session active.
local m = record(ID)
if not m or not is_active(m) or is_taken(m, ARGV[7]) then
  fence = 0
  return told('ended')
end
if holder and NOW < lapses and holder ~= HOLDER then
  return told('conflict')
end
if holder ~= HOLDER or NOW >= lapses then
  fence = fence + 1
end
call('HSET', LOCKS, 'f' .. NAME, text(fence), 'h' .. NAME, HOLDER, 'u' .. NAME, text(NOW + ARGV[6]))
keep(LOCKS, kept_ms(ID))
return told('done')
