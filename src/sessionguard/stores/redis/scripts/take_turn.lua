-- Takes the turn ARGV[3] for the holder ARGV[4] and ARGV[5] microseconds, if nobody else has it. What was taken
-- in the future, by a clock that was put right since, is void. The server forgets it
-- after ARGV[6] milliseconds, whatever clock the caller goes by.
local key = P .. 'n:' .. ARGV[3]
local holder, lapses, taken = unpack(call('HMGET', key, 'h', 'u', 't'))
if holder and holder ~= ARGV[4] and tonumber(taken or 0) <= NOW and NOW < tonumber(lapses) then
  return answer('conflict')
end
call('HSET', key, 'h', ARGV[4], 'u', text(NOW + ARGV[5]), 't', text(NOW))
call('PEXPIRE', key, ARGV[6])
return answer('done')
