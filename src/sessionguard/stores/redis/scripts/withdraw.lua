-- Takes shards off the list of the owner ARGV[3] in which nothing of theirs was found: ARGV[4...], each with the
-- instant of its note before that. One that was noted again since stays.
local key = owner_key('x:', ARGV[3])
if takes_writes(P) then
  for position = 4, #ARGV, 2 do
    if tonumber(call('ZSCORE', key, ARGV[position])) == tonumber(ARGV[position + 1]) then
      call('ZREM', key, ARGV[position])
    end
  end
end
return answer()
