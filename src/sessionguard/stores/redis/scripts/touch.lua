-- Extends the session ARGV[3].
local m = record(ARGV[3])
if not m or not is_active(m) then
  return reply('ended', ARGV[3], m)
end
touch(ARGV[3], m)
return reply('done', ARGV[3], m)
