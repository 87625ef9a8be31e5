-- Gives the other shards that may have sessions of the owner ARGV[3].
return {NONCE, text(NOW), call('SMEMBERS', owner_key('x:', ARGV[3]))}
