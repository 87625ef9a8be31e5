-- Replaces the token. ARGV: 3 id, 4 operation, 5 expected hash, 6 new hash, 7 grace, 8 owner to receive, or '', 9 until
-- when the note holds that this shard has sessions of that owner, or '' if it is their home, 10 whether the session was
-- barred when that was noted, 11... in their home the limit: most or '', reaction, seen, ended elsewhere, ms to keep.
local ID, NEW, OWNER = ARGV[3], ARGV[6], ARGV[8]
local m = record(ID)
if not m then
  return reply('ended')
end
if not is_active(m) then
  return reply('ended', ID, m)
end
if m[TH] == NEW or m[PH] == NEW then
  if ARGV[11] == '' then
    return answer('done', shown(ID, m), {})
  end
  local before, names = ended_before(ARGV[4])
  return answer('done', shown(ID, m), before, names)
end
if m[TH] ~= ARGV[5] then
  return reply('conflict', ID, m)
end

local kept = kept_ms(ID)
if ARGV[9] ~= '' then
  local barred = call('HGET', P .. 's:' .. ID, 'ba') or ''
  if TIME > tonumber(ARGV[9]) or barred ~= ARGV[10] then
    -- Not noted yet, or so long ago that it may have been withdrawn meanwhile, or its seat was given to others.
    return answer('unannounced', text(kept), m[SC], m[OW] == OWNER and '1' or '', barred)
  end
end
local going = {}
if ARGV[11] ~= '' and m[OW] ~= OWNER then
  local outcome, list = room(OWNER, m[SC], ID, tonumber(ARGV[11]), ARGV[12], ARGV[13])
  if outcome == 'full' then
    return answer(outcome, shown(ID, m), {})
  elseif outcome then
    return answer(outcome, list)
  end
  going = list
end
call('SET', P .. 't:' .. NEW, ID, 'PX', kept)
local ended = end_all(going, ARGV[4], ARGV[14], ARGV[15])
if m[PH] then
  call('DEL', P .. 't:' .. m[PH])
end
m[PH], m[PU], m[TH] = m[TH], text(NOW + ARGV[7]), NEW
call('HSET', P .. 's:' .. ID, 'th', m[TH], 'ph', m[PH], 'pu', m[PU])
if OWNER ~= '' then
  leave_slot(ID, m)
  call('ZREM', owner_key('o:', m[OW]), ID)
  call('HDEL', P .. 's:' .. ID, 'ex')
  call('HSET', P .. 's:' .. ID, 'ow', OWNER)
  m[OW], m[EX] = OWNER, false
  local owned = owner_key('o:', OWNER)
  call('ZADD', owned, m[CR], ID)
  keep(owned, kept)
end
return answer('done', shown(ID, m), ended)
