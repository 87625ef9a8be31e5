-- Takes the turn ARGV[3] from the holder ARGV[4], if it still is theirs.
local key = P .. 'n:' .. ARGV[3]
local holder, lapses, taken = unpack(call('HMGET', key, 'h', 'u', 't'))
if holder and holder ~= ARGV[4] and tonumber(taken or 0) <= NOW and NOW < tonumber(lapses) then
  return answer('conflict')
end
call('DEL', key)
return answer('done')
