-- Gives the record of the session ARGV[3].
local m = record(ARGV[3])
return reply(m and 'found' or 'unknown', ARGV[3], m)
