-- Gives the other shards that may have sessions of the owner ARGV[3].
return answer(elsewhere(ARGV[3]))
