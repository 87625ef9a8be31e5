-- Extends the session. ARGV: 3 id, 4 the visitor whose session it has to be still, or ''.
local m = record(ARGV[3])
if not m or not is_active(m) or is_taken(m, ARGV[4]) then
  return reply('ended', ARGV[3], m)
end
touch(ARGV[3], m)
return reply('done', ARGV[3], m)
