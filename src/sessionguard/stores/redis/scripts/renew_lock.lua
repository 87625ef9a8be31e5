-- Keeps the lock if it has not lapsed.
if holder ~= HOLDER or NOW >= lapses then
  return told('conflict')
end
-- Taken out first, for a full server refuses a script that begins with what may grow.
call('HDEL', LOCKS, 'u' .. NAME)
call('HSET', LOCKS, 'u' .. NAME, text(NOW + ARGV[6]))
return told('done')
