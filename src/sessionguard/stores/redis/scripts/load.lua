-- Finds the session of the token hash ARGV[3], touched when due if ARGV[5] is '1'; ARGV[4] is its scope, or '' for any.
-- Why a token is refused is decided by whoever asked, from the record.
local id = call('GET', P .. 't:' .. ARGV[3])
local m = id and record(id)
if not m then
  return reply('unknown')
end
if is_active(m)
  and (m[TH] == ARGV[3] or (m[PH] == ARGV[3] and NOW < tonumber(m[PU])))
  and (ARGV[4] == '' or m[SC] == ARGV[4])
  and ARGV[5] == '1' and touch_is_due(m)
then
  touch(id, m)
  return reply('touched', id, m)
end
return reply('found', id, m)
