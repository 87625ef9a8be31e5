-- Opens the new session in the slot and ends the one that was in it.
local known = record(ID)
if known then
  return repeated(known)
end
local id, last = in_slot(SLOT)
local m = id and record(id)
if m and not m[RS] then
  return open(true, last, id, m, is_active(m) and 'replaced' or 'expired')
end
return open(true, last)
