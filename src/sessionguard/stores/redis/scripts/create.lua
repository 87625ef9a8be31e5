-- Opens a session that no slot knows.
local known = record(ID)
if known then
  return repeated(known)
end
return open(false)
