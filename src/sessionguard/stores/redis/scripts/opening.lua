-- Follows the prelude in the scripts that open sessions.
-- ARGV: 3 id, 4 operation, 5 deployment, 6 token hash, 7 scope, 8 owner, 9 external id or '', 10 idle, 11 absolute,
-- 12 touch, 13 retention, 14 '1' if history keeps data, 15 size of the data, 16... data as name, value, name, value.

local ID, OPERATION, DEPLOYMENT = ARGV[3], ARGV[4], ARGV[5]
local SLOT = slot_key(ARGV[7], ARGV[8], ARGV[9] ~= '' and ARGV[9] or nil)

-- The number of the next session here, or nil if the shard belongs to no deployment yet, or to another one. Numbers
-- follow the clock, so that none is used again after its session was forgotten, or after the server lost everything.
local function next_generation()
  local deployment, last = string.match(call('GET', P .. 'g') or '', '^(%x+):(%d+)$')
  if deployment ~= DEPLOYMENT then
    return nil
  end
  return math.max(tonumber(last) + 1, math.floor(TIME / 1000))
end

local function store_data(key)
  for first = 16, #ARGV, 200 do
    call('HSET', key, unpack(ARGV, first, math.min(first + 199, #ARGV)))
  end
end

-- What a repetition of this command is answered with: the session as it is, and whom the first time ended.
local function repeated(m, outcome)
  local former = call('HGET', P .. 's:' .. ID, 'fo')
  local f = former and has_done(former, OPERATION) and record(former)
  return reply(outcome or 'opened', ID, m, f and shown(former, f))
end

-- Opens the session, and ends `former` for `reason` if there is one.
local function open(exclusive, former, f, reason)
  local generation = next_generation()
  if not generation then
    return reply('foreign shard')
  end
  local now, absolute = text(NOW), text(NOW + ARGV[11])
  local kept = text(math.ceil((math.max(NOW, TIME) - TIME + ARGV[11] + ARGV[13]) / 1000) + SPARE_MS)
  call('SET', P .. 'g', DEPLOYMENT .. ':' .. text(generation))
  if f then
    finish(former, f, reason, OPERATION)
  end
  local key = P .. 's:' .. ID
  local m = {ARGV[7], ARGV[8], ARGV[9] ~= '' and ARGV[9], exclusive and '1', false, now, now,
    text(math.min(NOW + ARGV[10], NOW + ARGV[11])), absolute, false, '1', exclusive and text(generation) or '1',
    ARGV[6], false, false, ARGV[12], ARGV[10], ARGV[13], ARGV[14] ~= '' and '1', ARGV[15]}
  call('HSET', key, 'sc', m[SC], 'ow', m[OW], 'cr', now, 'ls', now, 'ep', m[EP], 'ab', absolute, 'vn', '1',
    'gn', m[GN], 'th', m[TH], 'tu', m[TU], 'iu', m[IU], 'rt', m[RT], 'sz', m[SZ])
  call('PEXPIRE', key, kept)
  if m[XI] then call('HSET', key, 'xi', m[XI]) end
  if m[KD] then call('HSET', key, 'kd', '1') end
  if f then call('HSET', key, 'fo', former) end
  if exclusive then
    call('HSET', key, 'ex', '1')
    call('SET', SLOT, ID, 'PX', kept)
  end
  call('SET', P .. 't:' .. m[TH], ID, 'PX', kept)
  if #ARGV >= 16 then
    store_data(P .. 'd:' .. ID)
    call('PEXPIRE', P .. 'd:' .. ID, kept)
  end
  call('ZADD', P .. 'due', m[EP], ID)
  call('ZADD', P .. 'all', 0, ID)
  local owned = owner_key('o:', m[OW])
  call('ZADD', owned, now, ID)
  keep(owned, tonumber(kept))
  return reply('opened', ID, m, f and shown(former, f))
end
