-- Keeps ARGV[4] as what the operation ARGV[3] answers, for ARGV[5] milliseconds. It begins with '=' if that is final,
-- which gives way to nothing, and with '?' if it is planned, which gives way to what is final. Gives what is kept.
local key = P .. 'w:' .. ARGV[3]
local known = call('GET', key)
if known and (string.sub(known, 1, 1) == '=' or string.sub(ARGV[4], 1, 1) == '?') then
  return answer(known)
end
-- Frees nothing, but lets a full server write it.
call('DEL', key)
call('SET', key, ARGV[4], 'PX', ARGV[5])
return answer(ARGV[4])
