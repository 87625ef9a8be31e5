-- Looks at up to ARGV[4] sessions of the shard behind the id ARGV[3], by id, and gives those that match.
-- ARGV: 5 scope or '', 6 status or ''.
local ids = call('ZRANGEBYLEX', P .. 'all', ARGV[3] == '' and '-' or '(' .. ARGV[3], '+', 'LIMIT', 0, ARGV[4])
local found = {}
for _, id in ipairs(ids) do
  local m = record(id)
  if m and (ARGV[5] == '' or m[SC] == ARGV[5])
    and (ARGV[6] == '' or (ARGV[6] == 'active') == is_active(m))
  then
    found[#found + 1] = shown(id, m)
  end
end
return answer(found, #ids == tonumber(ARGV[4]) and ids[#ids] or false)
