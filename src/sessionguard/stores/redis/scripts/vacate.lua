-- Takes the seats ARGV[4...] of the owner ARGV[3] away.
local key = owner_key('f:', ARGV[3])
if takes_writes(P) then
  for position = 4, #ARGV do
    call('ZREM', key, ARGV[position])
  end
end
return answer()
