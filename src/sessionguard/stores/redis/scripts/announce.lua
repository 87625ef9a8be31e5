-- Notes in the home shard of the owner ARGV[3] that the shard ARGV[4] may have sessions of theirs for ARGV[5] more
-- milliseconds. Done before such a session receives its owner, so that none is ever overlooked.
local key = owner_key('x:', ARGV[3])
call('SADD', key, ARGV[4])
keep(key, tonumber(ARGV[5]))
return answer()
