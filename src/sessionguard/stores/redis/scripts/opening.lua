-- Follows the prelude and what makes room in the scripts that open sessions.
-- ARGV: 3 id, 4 operation, 5 deployment, 6 token hash, 7 scope, 8 owner, 9 external id or '', 10 idle, 11 absolute,
-- 12 touch, 13 retention, 14 '1' if history keeps data, 15 size of the data, 16 the most sessions of the owner in the
-- scope or '', 17 what happens then, 18 what was seen of seats, 19 whom this operation ended elsewhere, 20 milliseconds
-- to remember that, 21... data as name, value, name, value.

local ID, OPERATION, DEPLOYMENT, DATA = ARGV[3], ARGV[4], ARGV[5], 21
local SLOT = slot_key(ARGV[7], ARGV[8], ARGV[9] ~= '' and ARGV[9] or nil)

-- The generation of the session, whose slot had `last`, and the highest of the shard then; nil if the shard belongs
-- to no deployment yet, or to another one. A slot that nothing is known of goes on above all that were ever given
-- here, so none is used again. After a failover they go back with what was lost, and that tells guards of the loss.
local function next_generation(exclusive, last)
  local deployment, highest = string.match(call('GET', P .. 'g') or '', '^(%x+):(%d+)$')
  if deployment ~= DEPLOYMENT then
    return nil
  end
  highest = tonumber(highest)
  if not exclusive then
    return 1, highest
  end
  local generation = (last or highest) + 1
  return generation, math.max(generation, highest)
end

local function store_data(key)
  for first = DATA, #ARGV, 200 do
    call('HSET', key, unpack(ARGV, first, math.min(first + 199, #ARGV)))
  end
end

-- What a repetition of this command is answered with: the session as it is, and whom the first time ended.
local function repeated(m)
  local former = call('HGET', P .. 's:' .. ID, 'fo')
  local f = former and has_done(former, OPERATION) and record(former)
  local ended, names = {}, {}
  if ARGV[16] ~= '' then
    ended, names = ended_before(OPERATION)
  end
  if f then
    ended[#ended + 1] = shown(former, f)
  end
  return answer('opened', shown(ID, m), ended, names)
end

-- Opens the session, in its slot if `exclusive`; ends `former` for `reason` if there is one, and those who have to go.
local function open(exclusive, last, former, f, reason)
  local generation, highest = next_generation(exclusive, last)
  if not generation then
    return reply('foreign shard')
  end
  local going = {}
  if ARGV[16] ~= '' then
    local outcome, list = room(ARGV[8], ARGV[7], former, tonumber(ARGV[16]), ARGV[17], ARGV[18])
    if outcome then
      return answer(outcome, list)
    end
    going = list
  end
  local now, absolute = text(NOW), text(NOW + ARGV[11])
  local kept = text(math.ceil((math.max(NOW, TIME) - TIME + ARGV[11] + ARGV[13]) / 1000) + SPARE_MS)
  -- Also where it changes nothing: a full server refuses it, and the script has not begun.
  call('SET', P .. 'g', DEPLOYMENT .. ':' .. text(highest))
  local ended = end_all(going, OPERATION, ARGV[19], ARGV[20])
  if f then
    finish(former, f, reason, OPERATION)
    ended[#ended + 1] = shown(former, f)
  end
  local key = P .. 's:' .. ID
  local m = {ARGV[7], ARGV[8], ARGV[9] ~= '' and ARGV[9], exclusive and '1', false, now, now,
    text(math.min(NOW + ARGV[10], NOW + ARGV[11])), absolute, false, '1', text(generation),
    ARGV[6], false, false, ARGV[12], ARGV[10], ARGV[13], ARGV[14] ~= '' and '1', ARGV[15]}
  call('HSET', key, 'sc', m[SC], 'ow', m[OW], 'cr', now, 'ls', now, 'ep', m[EP], 'ab', absolute, 'vn', '1',
    'gn', m[GN], 'th', m[TH], 'tu', m[TU], 'iu', m[IU], 'rt', m[RT], 'sz', m[SZ])
  call('PEXPIRE', key, kept)
  if m[XI] then call('HSET', key, 'xi', m[XI]) end
  if m[KD] then call('HSET', key, 'kd', '1') end
  if f then call('HSET', key, 'fo', former) end
  if exclusive then
    call('HSET', key, 'ex', '1')
    call('SET', SLOT, ID .. ':' .. text(generation), 'PX', kept)
  end
  call('SET', P .. 't:' .. m[TH], ID, 'PX', kept)
  if #ARGV >= DATA then
    store_data(P .. 'd:' .. ID)
    call('PEXPIRE', P .. 'd:' .. ID, kept)
  end
  call('ZADD', P .. 'due', m[EP], ID)
  call('ZADD', P .. 'all', 0, ID)
  local owned = owner_key('o:', m[OW])
  call('ZADD', owned, now, ID)
  keep(owned, tonumber(kept))
  return answer('opened', shown(ID, m), ended)
end
