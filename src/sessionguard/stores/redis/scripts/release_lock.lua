-- Gives the lock back if it is this holder's, or tells that it did so before.
local packed = call('HGET', LOCKS, 'r' .. NAME)
local released = packed and cmsgpack.unpack(packed) or {}
if holder ~= HOLDER then
  for _, one in ipairs(released) do
    if one[1] == HOLDER then
      fence = one[2]
      return told('done')
    end
  end
  return told('conflict')
end
table.insert(released, 1, {HOLDER, fence})
released[33] = nil
call('HDEL', LOCKS, 'h' .. NAME)
call('HSET', LOCKS, 'r' .. NAME, cmsgpack.pack(released))
return told('done')
