-- Notes in the home shard of the owner ARGV[3] that the shard ARGV[4] may receive a session of theirs, which is kept
-- for ARGV[5] more milliseconds, and gives that session, ARGV[6] of the scope ARGV[7], a seat; '': it has one. Gives
-- the instant of this note, each of a shard a later one than those before, and whom it ended to make room.
-- ARGV[8] is the operation, ARGV[9...13] the limit: most or '', reaction, seen, ended elsewhere, ms to remember.
local ID, OPERATION = ARGV[6], ARGV[8]
local going = {}
if ARGV[9] ~= '' then
  local outcome, list = room(ARGV[3], ARGV[7], ID, tonumber(ARGV[9]), ARGV[10], ARGV[11])
  if outcome then
    return answer(outcome, list)
  end
  going = list
end
local key = owner_key('x:', ARGV[3])
local noted = math.max(TIME, tonumber(call('ZSCORE', key, ARGV[4]) or 0) + 1)
call('ZADD', key, text(noted), ARGV[4])
keep(key, tonumber(ARGV[5]))
if ID ~= '' then
  key = owner_key('f:', ARGV[3])
  call('ZADD', key, text(TIME / 1000 + ARGV[5]), text(noted) .. ':' .. ID .. ':' .. ARGV[7])
  call('ZREMRANGEBYSCORE', key, '-inf', text(TIME / 1000))
  keep(key, tonumber(ARGV[5]))
end
return answer('noted', text(noted), end_all(going, OPERATION, ARGV[12], ARGV[13]))
