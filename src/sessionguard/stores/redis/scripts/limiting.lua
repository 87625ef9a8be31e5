-- Stands after the prelude in the scripts that add a session to those of an owner, in the home shard of that owner.
--
-- Few of an owner's sessions lie in other shards: those that received the owner. Each has a seat in the home shard,
-- from before it receives the owner until somebody who met a limit has seen that it is over: the key f:<owner>, whose
-- members are <note>:<id>:<scope>, the note another one each time, by when the server no longer keeps the session. So
-- those who count never miss one. A seat that stands in the way is looked at first: what is known of it then comes as
-- `seen`, <note>:<id>:<created>:<last seen> for each, without instants if it has expired.

local function known_seats(seen)
  local known = {}
  for note, id, created, last_seen in string.gmatch(seen, '(%d+):(%x+):(%d*):(%d*)') do
    known[note .. ':' .. id] = {created, last_seen}
  end
  return known
end

local function goes_before(one, other)
  if one.turn ~= other.turn then
    return one.turn < other.turn
  end
  return one.id < other.id
end

-- Whom to end before one more session of the owner, not counting `but`, may be active in the scope: nil and a list.
-- Else why that cannot be said yet, or not be: 'full'; 'look' and the seats to look at; 'elsewhere' and those to end
-- first.
local function room(owner, scope, but, most, on_limit, seen)
  local going, queue, seats, unknown = {}, {}, {}, false
  for _, id in ipairs(call('ZRANGE', owner_key('o:', owner), 0, -1)) do
    local m = id ~= but and record(id)
    if m and m[OW] == owner and m[SC] == scope and not m[RS] then
      if is_active(m) then
        queue[#queue + 1] = {id = id, m = m, turn = tonumber(on_limit == 'end_oldest' and m[CR] or m[LS])}
      else
        going[#going + 1] = {id = id, m = m, reason = 'expired'}
      end
    end
  end
  -- All that nobody has ended, as far as is known here; of them, those that count.
  local known, counted, present = known_seats(seen), {}, #queue + #going
  for _, seat in ipairs(call('ZRANGE', owner_key('f:', owner), 0, -1)) do
    local note, id, where = string.match(seat, '^(%d+):(%x+):(.*)$')
    if where == scope and id ~= but then
      local found = known[note .. ':' .. id]
      seats[#seats + 1], unknown = seat, unknown or not found
      if not counted[id] then
        counted[id], present = true, present + 1
        if found and found[1] ~= '' then
          queue[#queue + 1] = {id = id, turn = tonumber(found[on_limit == 'end_oldest' and 1 or 2])}
        end
      end
    end
  end
  if present < most then
    return nil, {}
  elseif unknown then
    return 'look', seats
  end
  local excess = #queue + 1 - most
  if excess <= 0 then
    return nil, going
  elseif on_limit == 'refuse' then
    return 'full', {}
  end
  table.sort(queue, goes_before)
  local elsewhere_first = {}
  for position = 1, excess do
    local one = queue[position]
    one.reason = 'limit'
    going[#going + 1] = one
    if not one.m then
      elsewhere_first[#elsewhere_first + 1] = one.id
    end
  end
  if #elsewhere_first > 0 then
    return 'elsewhere', elsewhere_first
  end
  return nil, going
end

-- Ends them, and remembers for a repetition whom, together with those whom the operation has ended `elsewhere`.
local function end_all(going, operation, elsewhere_ended, ms)
  local ended, names = {}, {elsewhere_ended ~= '' and elsewhere_ended or nil}
  for position, one in ipairs(going) do
    finish(one.id, one.m, one.reason, operation)
    ended[position] = shown(one.id, one.m)
    names[#names + 1] = one.id
  end
  if #names > 0 then
    call('SET', P .. 'w:' .. operation, table.concat(names, ' '), 'PX', ms)
  end
  return ended
end

-- Whom the operation has ended before: those who are here, and the names of the others.
local function ended_before(operation)
  local ended, names = {}, {}
  for id in string.gmatch(call('GET', P .. 'w:' .. operation) or '', '%x+') do
    local m = record(id)
    if m then
      ended[#ended + 1] = shown(id, m)
    else
      names[#names + 1] = id
    end
  end
  return ended, names
end
