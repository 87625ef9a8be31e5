-- Follows the prelude in the scripts about leases. ARGV: 3 id, 4 holder, 5 lease, 6 the visitor whose session
-- it has to be still, or ''.
-- They stand in the hash of the session's locks: 'c' the highest fence that was given out, 'l' the holders with fence
-- and end of lease each, and 'f', as of a lock without a name, the lowest fence that a save under a lease may have.
local ID, HOLDER = ARGV[3], ARGV[4]
local LOCKS = P .. 'k:' .. ID
local known = call('HMGET', LOCKS, 'c', 'l')
local count, stored = tonumber(known[1] or 0), known[2] and cmsgpack.unpack(known[2]) or {}

-- Those that have not lapsed.
local living = {}
for _, one in ipairs(stored) do
  if NOW < one[3] then
    living[#living + 1] = one
  end
end

-- The lowest fence and the last end of lease.
local function span()
  local lowest, last = count, 0
  for _, one in ipairs(living) do
    lowest, last = math.min(lowest, one[2]), math.max(last, one[3])
  end
  return lowest, last
end

local function mine()
  for position, one in ipairs(living) do
    if one[1] == HOLDER then
      return position, one
    end
  end
end

-- Taken out first: a full server refuses a script that begins with what may grow, and nobody must be kept from holding
-- on or letting go.
local function store_leases()
  call('HDEL', LOCKS, 'l')
  call('HSET', LOCKS, 'c', text(count), 'f', text((span())))
  if #living > 0 then
    call('HSET', LOCKS, 'l', cmsgpack.pack(living))
  end
  keep(LOCKS, kept_ms(ID))
end

local function reason_of(m)
  return m[RS] or (not is_active(m) and 'expired') or (is_taken(m, ARGV[6]) and 'login')
end

local function told(outcome, fence, last, lowest, m)
  return answer(outcome, text(fence), text(last), text(lowest), m and reason_of(m) or false)
end
