-- Replaces and removes fields. ARGV: 3 id, 4 operation, 5 expected version or '', 6 limit, 7 name and 8 number of the
-- fence or '', 9 the visitor whose session it has to be still or '', 10 how many fields to set, then name, value for
-- each, then the names to remove.
local ID, OPERATION = ARGV[3], ARGV[4]
local m = record(ID)
if not m then
  return reply('ended')
end
if has_done(ID, OPERATION) then
  return reply('done', ID, m)
end
if not is_active(m) or is_taken(m, ARGV[9]) then
  return reply('ended', ID, m)
end
if ARGV[8] ~= '' and tonumber(call('HGET', P .. 'k:' .. ID, 'f' .. ARGV[7]) or 0) > tonumber(ARGV[8]) then
  return reply('fenced', ID, m)
end
if ARGV[5] ~= '' and ARGV[5] ~= m[VN] then
  return reply('conflict', ID, m)
end
if #ARGV == 10 then
  return reply('done', ID, m)
end

-- A field takes its name, its value, a colon and a comma; the object its braces, and one comma less.
local data, removed = P .. 'd:' .. ID, 11 + 2 * ARGV[10]
local size = tonumber(m[SZ])
for position = 11, removed - 1, 2 do
  local name = ARGV[position]
  size = size + #ARGV[position + 1]
  if call('HEXISTS', data, name) == 1 then
    size = size - call('HSTRLEN', data, name)
  else
    size = size + #name + 2
  end
end
for position = removed, #ARGV do
  local name = ARGV[position]
  if call('HEXISTS', data, name) == 1 then
    size = size - call('HSTRLEN', data, name) - #name - 2
  end
end
local whole = size == 0 and 2 or size + 1
if whole > tonumber(ARGV[6]) then
  return reply('too large', ID, m, text(whole))
end

m[VN], m[SZ] = text(m[VN] + 1), text(size)
call('HSET', P .. 's:' .. ID, 'vn', m[VN], 'sz', m[SZ])
local was_empty = call('EXISTS', data) == 0
for first = 11, removed - 1, 200 do
  call('HSET', data, unpack(ARGV, first, math.min(first + 199, removed - 1)))
end
for first = removed, #ARGV, 200 do
  call('HDEL', data, unpack(ARGV, first, math.min(first + 199, #ARGV)))
end
local ms = kept_ms(ID)
if was_empty then
  call('PEXPIRE', data, ms)
end
remember(ID, OPERATION, ms)
return reply('done', ID, m)
