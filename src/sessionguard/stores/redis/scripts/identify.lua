-- KEYS[1] holds format and deployment id; ARGV[3] is kept if there is none yet. Gives what is there.
local known = redis.call('GET', KEYS[1])
if not known then
  known = ARGV[3]
  redis.call('SET', KEYS[1], known)
end
takes_writes(KEYS[1])
return {ARGV[1], '', known}
