-- Gives the records of the sessions ARGV[3...], those that are still known.
local found = {}
for position = 3, #ARGV do
  local m = record(ARGV[position])
  if m then
    found[#found + 1] = shown(ARGV[position], m)
  end
end
return answer(found)
