-- Ends the session. ARGV: 3 id, 4 operation, 5 reason, 6 the visitor whose session it has to be still, or ''.
local ID = ARGV[3]
local m = record(ID)
if not m then
  return reply('ended')
end
if has_done(ID, ARGV[4]) then
  return reply('done', ID, m)
end
if not is_active(m) or is_taken(m, ARGV[6]) then
  return reply('ended', ID, m)
end
finish(ID, m, ARGV[5], ARGV[4])
return reply('done', ID, m)
