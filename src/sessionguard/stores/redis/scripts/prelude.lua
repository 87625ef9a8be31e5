-- Stands in front of every script that is about sessions. One script is one operation on one shard.
--
-- KEYS[1] is the prefix of all keys of the shard, `<prefix>:{<tag>}:`; every key is made from it, so that all lie in
-- one hash slot. No key has just that name: while a cluster moves the slot, the server therefore refuses the whole
-- script (ASK) before it has begun, instead of some key in the middle of it. ARGV[1] is the nonce of the request,
-- which every reply repeats first. ARGV[2] is the instant, or '' for the clock of the server. Numbers are
-- microseconds below 2^53, which Lua's doubles hold exactly.
--
-- Keys of a shard: s:<id> the record, d:<id> its data, one hash field per data field, q:<id> its last operations,
-- k:<id> its locks and leases; t:<token hash> -> id; l:<slot> the active session of the slot, if any, and its last
-- generation; o:<owner> the active and h:<owner> the ended sessions of an owner by creation; x:<owner> other shards
-- that may have sessions of the owner, by when that was noted; f:<owner> the seats of those sessions, by until when
-- they are kept; due by expiry, ended by end, forget by end of retention, all by id; g deployment and highest
-- generation; w:<operation> what an operation on many sessions answered, or whom one under a limit ended, y:<operation>
-- whom a purge forgot.
--
-- Scripts do not roll back: each looks at everything first and writes last. What may grow writes first by a command
-- that a full server refuses, what ends or touches by one that it does not.

local P, NONCE = KEYS[1], ARGV[1]
local call = redis.call

local TIME = call('TIME')
TIME = TIME[1] * 1000000 + TIME[2]
local NOW = ARGV[2] == '' and TIME or tonumber(ARGV[2])

-- Positions in a record.
local SC, OW, XI, EX, RS, CR, LS, EP, AB, EN, VN, GN = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local TH, PH, PU, TU, IU, RT, KD, SZ = 13, 14, 15, 16, 17, 18, 19, 20

-- Rubbish is kept for a week longer than anyone could ask for it.
local SPARE_MS = 604800000

local function text(number)
  return string.format('%.0f', number)
end

local function record(id)
  local m = call('HMGET', P .. 's:' .. id, 'sc', 'ow', 'xi', 'ex', 'rs', 'cr', 'ls', 'ep', 'ab', 'en', 'vn', 'gn',
    'th', 'ph', 'pu', 'tu', 'iu', 'rt', 'kd', 'sz')
  return m[OW] and m or nil
end

local function is_active(m)
  return not m[RS] and NOW < tonumber(m[EP])
end

-- Whether a visitor's session has received its owner since the caller knew it; '' stands for one that cannot.
local function is_taken(m, visitor)
  return visitor ~= '' and visitor ~= m[OW]
end

local function shown(id, m)
  return {id, m, call('HGETALL', P .. 'd:' .. id)}
end

-- The reply of every script begins with this; a replica does not get that far. There is no key with just this name.
local function answer(...)
  takes_writes(P)
  return {NONCE, NOW, ...}
end

local function reply(outcome, id, m, extra)
  return answer(outcome, m and shown(id, m) or false, extra or false)
end

local function owner_key(kind, owner)
  return P .. kind .. redis.sha1hex(owner)
end

-- The other shards that may have sessions of an owner. Each has the instant of its note if that is a day old: nobody
-- relies on it any more who has not moved a session there by now. Else it has none, and must not be withdrawn.
local function elsewhere(owner)
  local shards, noted = {}, call('ZRANGE', owner_key('x:', owner), 0, -1, 'WITHSCORES')
  for position = 1, #noted, 2 do
    local instant = tonumber(noted[position + 1])
    shards[#shards + 1] = {noted[position], TIME - instant >= 86400000000 and text(instant) or ''}
  end
  return shards
end

-- Whether nothing here, active or ended, is the owner's.
local function has_nothing(owner)
  return call('EXISTS', owner_key('o:', owner), owner_key('h:', owner)) == 0 and '1' or ''
end

local function slot_key(scope, owner, external)
  return P .. 'l:' .. redis.sha1hex(#scope .. ':' .. scope .. #owner .. ':' .. owner .. (external or ''))
end

local function has_done(id, operation)
  local known = call('GET', P .. 'q:' .. id)
  return known and string.find(known, operation, 1, true)
end

-- How long the server is still to keep the session, in milliseconds.
local function kept_ms(id)
  return math.max(call('PTTL', P .. 's:' .. id), 1)
end

local function remember(id, operation, ms)
  local key = P .. 'q:' .. id
  local known = call('GET', key) or ''
  call('SET', key, string.sub(operation .. ',' .. known, 1, 32 * 17), 'PX', ms)
end

-- `key`, which is about many sessions, stays at least as long as this one.
local function keep(key, ms)
  if call('PTTL', key) < ms then
    call('PEXPIRE', key, text(ms))
  end
end

-- Who is in the slot, or nil, and the last generation that was given there, or nil.
local function in_slot(key)
  local id, last = string.match(call('GET', key) or '', '^(%x*):(%d+)$')
  return id ~= '' and id or nil, tonumber(last)
end

local function leave_slot(id, m)
  if m[EX] then
    local key = slot_key(m[SC], m[OW], m[XI])
    local found, last = in_slot(key)
    if found == id then
      call('SET', key, ':' .. text(last), 'KEEPTTL')
    end
  end
end

-- The session has ended for `reason`. The first writes free memory, so that a full server lets the others pass.
local function finish(id, m, reason, operation)
  local owner, ms = redis.sha1hex(m[OW]), kept_ms(id)
  call('ZREM', P .. 'due', id)
  call('ZREM', P .. 'o:' .. owner, id)
  leave_slot(id, m)
  if not m[KD] then
    call('DEL', P .. 'd:' .. id)
  end
  m[RS], m[EN] = reason, reason == 'expired' and m[EP] or text(NOW)
  call('HSET', P .. 's:' .. id, 'rs', m[RS], 'en', m[EN])
  call('ZADD', P .. 'ended', m[EN], id)
  call('ZADD', P .. 'forget', text(m[EN] + m[RT]), id)
  call('ZADD', P .. 'h:' .. owner, m[CR], id)
  keep(P .. 'h:' .. owner, ms)
  remember(id, operation, ms)
end

-- The session was seen now; a clock that went back neither shortens nor prolongs its life.
local function touch(id, m)
  local seen = math.max(tonumber(m[LS]), NOW)
  m[LS], m[EP] = text(seen), text(math.min(seen + m[IU], tonumber(m[AB])))
  call('ZREM', P .. 'due', id)
  call('HSET', P .. 's:' .. id, 'ls', m[LS], 'ep', m[EP])
  call('ZADD', P .. 'due', m[EP], id)
end

-- Whether to touch a session on the way. A server that takes no writes has it read all the same.
local function touch_is_due(m)
  return NOW - m[LS] >= tonumber(m[TU]) and takes_writes(P)
end
