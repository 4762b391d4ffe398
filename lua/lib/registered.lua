-- registered: who may take from cells that are for registered users only.
-- NEEDS script: BUYERS keys before those of the buyers
-- NEEDS base: call, byte, sub, unpacked, band
-- NEEDS mark: mark
-- NEEDS verdicts: NOT_REGISTERED, USERS_MISSING
-- NEEDS cells: FLAGS, FLAG_REGISTERED_ONLY, CELL_BYTES, cell_ids, cell_values, cells
-- NEEDS asked: pools, asks_at, place
-- GIVES unregistered

-- The cells for registered users only. Other cells cost a look at their length.
local guarded
for c = 1, #pools do
  if cells[c] and #cell_values[c] > CELL_BYTES and band(cells[c][FLAGS], FLAG_REGISTERED_ONLY) ~= 0 then
    guarded = guarded or {}
    guarded[c] = true
  end
end

-- Of each request to these cells: false if its user is registered, else NOT_REGISTERED, or USERS_MISSING if
-- the set is not known to be whole. The buyers keys are one for each pool. Behind them are as many sets of
-- users, and the key that has the nonce and the number of users with which somebody found a set whole.
local unregistered = {}
if guarded then
  local first = BUYERS + (#KEYS - 1 - BUYERS) / 2
  local askers = {} -- requests and their users, by the key of their set
  for i = 1, #place do
    if guarded[place[i]] then
      local key = KEYS[first + byte(pools, place[i])]
      local asker = askers[key] or {users = {}}
      askers[key], asker[#asker + 1], asker.users[#asker + 1] = asker, i, sub(ARGV[asks_at + i], 1, 8)
    end
  end
  for key, asker in pairs(askers) do
    local there, why = call("SMISMEMBER", key, unpack(asker.users)), nil
    for k, i in ipairs(asker) do
      if there[k] == 0 and not why then
        local known = call("HMGET", KEYS[#KEYS], sub(cell_ids[place[i]], 9, 12))[1]
        local whole = known and #known == #mark and sub(known, 1, 8) == sub(mark, 1, 8)
          and call("SCARD", key) >= unpacked(">I6", known, 9)
        why = whole and NOT_REGISTERED or USERS_MISSING
      end
      unregistered[i] = there[k] == 0 and why
    end
  end
end
