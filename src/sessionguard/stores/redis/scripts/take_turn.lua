-- Takes the turn ARGV[3] for the holder ARGV[4] and ARGV[5] microseconds, if nobody else has it. The server forgets it
-- after ARGV[6] milliseconds, whatever clock the caller goes by.
local key = P .. 'n:' .. ARGV[3]
local holder, lapses = unpack(call('HMGET', key, 'h', 'u'))
if holder and holder ~= ARGV[4] and NOW < tonumber(lapses) then
  return answer('conflict')
end
call('HSET', key, 'h', ARGV[4], 'u', text(NOW + ARGV[5]))
call('PEXPIRE', key, ARGV[6])
return answer('done')
