-- registered: who may take from cells that are for registered users only.
-- NEEDS script: BUYERS keys before those of the buyers
-- NEEDS base: call, byte, sub, unpacked, band
-- NEEDS mark: mark
-- NEEDS verdicts: NOT_REGISTERED, USERS_MISSING
-- NEEDS cells: FLAGS, FLAG_REGISTERED_ONLY, CELL_BYTES, cell_ids, cell_values, cells
-- NEEDS asked: pools, asks_at, found, place
-- GIVES unregistered

-- The cells for registered users only. Other cells cost a look at their length.
local guarded
for c = 1, #pools do
  if cells[c] and #cell_values[c] > CELL_BYTES and band(cells[c][FLAGS], FLAG_REGISTERED_ONLY) ~= 0 then
    guarded = guarded or {}
    guarded[c] = true
  end
end

-- Of each new request to these cells: nothing if its user is registered, else NOT_REGISTERED, or
-- USERS_MISSING if the set is not known to be whole. A repetition is answered by its record. The buyers keys
-- are one for each pool. Behind them are as many sets of users, and the key that has the nonce and the number
-- of users with which somebody found a set whole.
local unregistered = {}
if guarded then
  local first = BUYERS + (#KEYS - 1 - BUYERS) / 2

  -- is_whole reports whether a set, of the pool of a cell, has all users.
  local function is_whole(key, c)
    local known = call("HMGET", KEYS[#KEYS], sub(cell_ids[c], 9, 12))[1]
    return known and #known == #mark and sub(known, 1, 8) == sub(mark, 1, 8)
      and call("SCARD", key) >= unpacked(">I6", known, 9)
  end

  -- ask asks a set for the users of requests.
  local function ask(key, requests, users)
    local there, why = call("SMISMEMBER", key, unpack(users)), nil
    for k, i in ipairs(requests) do
      if there[k] == 0 then
        why = why or (is_whole(key, place[i]) and NOT_REGISTERED or USERS_MISSING)
        unregistered[i] = why
      end
    end
  end

  local askers = {} -- requests and their users, by the key of their set
  for i = 1, #place do
    if guarded[place[i]] and not found[i] then
      local key = KEYS[first + byte(pools, place[i])]
      local asker = askers[key] or {users = {}}
      askers[key], asker[#asker + 1], asker.users[#asker + 1] = asker, i, sub(ARGV[asks_at + i], 1, 8)
    end
  end
  for key, asker in pairs(askers) do ask(key, asker, asker.users) end
end
