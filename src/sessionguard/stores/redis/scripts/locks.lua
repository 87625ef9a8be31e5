-- Follows the prelude in the scripts about locks. ARGV: 3 id, 4 name, 5 holder, 6 lease, 7 the visitor whose
-- session it has to be still, or ''.
-- In the hash of the locks each name has its fence (f), holder (h), end of lease (u), and the last holders who gave it
-- back (r) with their fences, newest first.
local ID, NAME, HOLDER = ARGV[3], ARGV[4], ARGV[5]
local LOCKS = P .. 'k:' .. ID
local lock = call('HMGET', LOCKS, 'f' .. NAME, 'h' .. NAME, 'u' .. NAME)
local fence, holder, lapses = tonumber(lock[1] or 0), lock[2], tonumber(lock[3] or 0)

local function told(outcome)
  return answer(outcome, text(fence))
end
