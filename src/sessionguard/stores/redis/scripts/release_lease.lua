-- Lets go, or tells that this holder did before.
local m = record(ID)
if not m then
  return told('conflict', 0, 0, 0)
end
local outcome = has_done(ID, HOLDER) and 'done' or 'conflict'
local position = mine()
if position then
  table.remove(living, position)
end
if #living < #stored then
  store_leases()
end
if position then
  remember(ID, HOLDER, kept_ms(ID))
  outcome = 'done'
end
local _, last = span()
return told(outcome, 0, last, 0, m)
