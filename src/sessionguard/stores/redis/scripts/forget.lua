-- Forgets those of the sessions ARGV[6...] that ended at least ARGV[4] ago, '' for their own retention. Gives how
-- many of them the operation ARGV[3] has forgotten, now or before; that is remembered for ARGV[5] milliseconds.

-- Who uses the files of a session must be known for as long as that lasts.
local function is_leased(id)
  local packed = call('HGET', P .. 'k:' .. id, 'l')
  for _, one in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if NOW < one[3] then
      return true
    end
  end
end

local forgotten, log = 0, P .. 'y:' .. ARGV[3]
for position = 6, #ARGV do
  local id = ARGV[position]
  local m = record(id)
  if not m then
    forgotten = forgotten + call('SISMEMBER', log, id)
  end
  if not m or (m[EN] and m[EN] + (ARGV[4] == '' and m[RT] or ARGV[4]) <= NOW and not is_leased(id)) then
    call('DEL', P .. 's:' .. id, P .. 'd:' .. id, P .. 'q:' .. id, P .. 'k:' .. id)
    for _, index in ipairs({'ended', 'forget', 'all'}) do
      call('ZREM', P .. index, id)
    end
    if m then
      call('DEL', P .. 't:' .. m[TH], P .. 't:' .. (m[PH] or m[TH]))
      call('ZREM', owner_key('h:', m[OW]), id)
      call('SADD', log, id)
      call('PEXPIRE', log, ARGV[5])
      forgotten = forgotten + 1
    end
  end
end
return answer(forgotten)
