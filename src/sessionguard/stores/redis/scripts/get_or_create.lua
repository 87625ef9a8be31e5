-- Gives the active session of the slot, touched when due, or opens the new one and ends an expired one on the way.
local id, last = in_slot(SLOT)
local m = id and record(id)
if m and is_active(m) and id ~= ID then
  local outcome = 'opened'
  if touch_is_due(m) then
    touch(id, m)
    outcome = 'touched'
  end
  return reply(outcome, id, m)
end
local known = record(ID)
if known then
  return repeated(known)
end
if m and not m[RS] then
  return open(true, last, id, m, 'expired')
end
return open(true, last)
