-- Stands in front of every script. Whether the server takes writes now.
-- A replica, whose data may be old or not yet there, refuses the command and with it the whole script. A primary that
-- cannot save or has too few replicas refuses it, too, but what it holds may be read. (No expiry is ever taken away.)
local function takes_writes(key)
  local told = redis.pcall('PERSIST', key)
  if type(told) ~= 'table' or not told.err then
    return true
  end
  if string.find(told.err, 'MISCONF', 1, true) or string.find(told.err, 'NOREPLICAS', 1, true) then
    return false
  end
  redis.call('PERSIST', key)
end
