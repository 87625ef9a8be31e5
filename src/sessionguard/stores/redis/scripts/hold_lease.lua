-- Holds the session for the lease, and touches it if it is active.
local m = record(ID)
if not m then
  return told('ended', 0, 0, 0)
end
if has_done(ID, HOLDER) then
  -- Given back before: this is a repetition that comes late.
  return told('conflict', 0, 0, 0, m)
end
local position, one = mine()
if not position then
  if reason_of(m) then
    return told('ended', 0, 0, 0, m)
  end
  -- Refused by a full server before anything has changed.
  call('HSET', LOCKS, 'c', text(count + 1))
  count, position = count + 1, #living + 1
  one = {HOLDER, count}
  living[position] = one
end
one[3] = NOW + ARGV[5]
store_leases()
if not reason_of(m) then
  touch(ID, m)
end
return told('done', one[2], one[3], (span()), m)
