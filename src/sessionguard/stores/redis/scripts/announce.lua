-- Notes in the home shard of the owner ARGV[3] that the shard ARGV[4] may receive a session of theirs, which is kept
-- for ARGV[5] more milliseconds. Gives the instant of this note; each of a shard has a later one than those before.
local key = owner_key('x:', ARGV[3])
local noted = math.max(TIME, tonumber(call('ZSCORE', key, ARGV[4]) or 0) + 1)
call('ZADD', key, text(noted), ARGV[4])
keep(key, tonumber(ARGV[5]))
return answer(text(noted))
