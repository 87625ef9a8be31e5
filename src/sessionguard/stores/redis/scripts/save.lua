-- Replaces and removes fields. ARGV: 3 id, 4 operation, 5 expected version or '', 6 limit, 7 name and 8 number of the
-- fence or '', 9 the visitor whose session it has to be still or '', 10 how many fields to set, then name, value for
-- each, then the names to remove.
--
-- It stands without the prelude, whose functions the server would make anew for each save. What it reads and writes is
-- what `record`, `has_done`, `is_active`, `is_taken` and `remember` do there.
local P, NOW, ID, OPERATION = KEYS[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local call = redis.call
local OW, RS, EP, VN, SZ = 2, 5, 8, 11, 17
if not NOW then
  NOW = call('TIME')
  NOW = NOW[1] * 1000000 + NOW[2]
end

local data, log = P .. 'd:' .. ID, P .. 'q:' .. ID
local m = call('HMGET', P .. 's:' .. ID, 'sc', 'ow', 'xi', 'ex', 'rs', 'cr', 'ls', 'ep', 'ab', 'en', 'vn', 'gn',
  'th', 'ph', 'pu', 'tu', 'sz')
local done = call('GET', log)

-- Nothing was written; a replica does not get that far.
local function unchanged(outcome, extra)
  takes_writes(P)
  return {ARGV[1], NOW, outcome, m[OW] and {ID, m, call('HGETALL', data)} or false, extra or false}
end

if not m[OW] then
  return unchanged('ended')
end
if done and string.find(done, OPERATION, 1, true) then
  return unchanged('done')
end
if m[RS] or NOW >= tonumber(m[EP]) or (ARGV[9] ~= '' and ARGV[9] ~= m[OW]) then
  return unchanged('ended')
end
if ARGV[8] ~= '' and tonumber(call('HGET', P .. 'k:' .. ID, 'f' .. ARGV[7]) or 0) > tonumber(ARGV[8]) then
  return unchanged('fenced')
end
if ARGV[5] ~= '' and ARGV[5] ~= m[VN] then
  return unchanged('conflict')
end
if #ARGV == 10 then
  return unchanged('done')
end

-- A field takes its name, its value, a colon and a comma; the object its braces, and one comma less.
local fields, places = call('HGETALL', data), {}
for place = 1, #fields, 2 do
  places[fields[place]] = place
end
local removed, size, was_empty = 11 + 2 * ARGV[10], tonumber(m[SZ]), #fields == 0
for position = 11, removed - 1, 2 do
  local name, value = ARGV[position], ARGV[position + 1]
  local place = places[name]
  if place then
    size = size - #fields[place + 1] + #value
  else
    place = #fields + 1
    fields[place] = name
    size = size + #name + #value + 2
  end
  fields[place + 1] = value
end
for position = removed, #ARGV do
  local place = places[ARGV[position]]
  if place then
    size = size - #fields[place] - #fields[place + 1] - 2
  end
end
local whole = size == 0 and 2 or size + 1
if whole > tonumber(ARGV[6]) then
  return unchanged('too large', whole)
end

-- A full server refuses the first of these.
m[VN], m[SZ] = m[VN] + 1, size
call('HSET', P .. 's:' .. ID, 'vn', m[VN], 'sz', size)
for first = 11, removed - 1, 200 do
  call('HSET', data, unpack(ARGV, first, math.min(first + 199, removed - 1)))
end
for first = removed, #ARGV, 200 do
  call('HDEL', data, unpack(ARGV, first, math.min(first + 199, #ARGV)))
end
-- What is new is kept as long as the session, which is decided when that is opened; what is there, is by now.
local ms = (was_empty or not done) and math.max(call('PTTL', P .. 's:' .. ID), 1)
if was_empty then
  call('PEXPIRE', data, ms)
end
if done then
  call('SET', log, string.sub(OPERATION .. ',' .. done, 1, 32 * 17), 'KEEPTTL')
else
  call('SET', log, OPERATION .. ',', 'PX', ms)
end
if removed <= #ARGV then
  fields = call('HGETALL', data)
end
return {ARGV[1], NOW, 'done', {ID, m, fields}, false}
