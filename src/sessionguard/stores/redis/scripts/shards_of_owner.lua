-- Gives the other shards that may have sessions of the owner ARGV[3].
return answer(call('SMEMBERS', owner_key('x:', ARGV[3])))
