-- Opens the new session in the slot and ends the one that was in it.
local known = record(ID)
if known then
  return repeated(known)
end
local id = call('GET', SLOT)
local m = id and record(id)
if m and not m[RS] then
  return open(true, id, m, is_active(m) and 'replaced' or 'expired')
end
return open(true)
