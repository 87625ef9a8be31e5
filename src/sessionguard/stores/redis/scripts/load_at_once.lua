-- Stands in front of the prelude where a session is loaded, and answers at once unless a touch may be due, which it
-- seldom is: the server makes every function anew for each call, and those of the prelude cost a third of a load.
-- The fields are those that `record` gives, up to the last that is shown.
do
  local P = KEYS[1]
  local now = tonumber(ARGV[2])
  if not now then
    now = redis.call('TIME')
    now = now[1] * 1000000 + now[2]
  end
  -- It changes nothing, but counts as writing, so that a replica, whose data may be old, refuses it. What that means,
  -- or another reason to refuse, is told apart further on.
  local id = redis.pcall('GETEX', P .. 't:' .. ARGV[3])
  local m = type(id) == 'string' and redis.call('HMGET', P .. 's:' .. id, 'sc', 'ow', 'xi', 'ex', 'rs', 'cr', 'ls',
    'ep', 'ab', 'en', 'vn', 'gn', 'th', 'ph', 'pu', 'tu')
  if m and m[2] and (ARGV[5] ~= '1' or now - m[7] < tonumber(m[16])) then
    return {ARGV[1], now, 'found', {id, m, redis.call('HGETALL', P .. 'd:' .. id)}, false}
  end
end
