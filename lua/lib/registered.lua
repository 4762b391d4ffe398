-- registered: who may take from cells that are for registered users only.
-- NEEDS script: BUYERS keys before those of the buyers
-- NEEDS base: call, byte, sub, band
-- NEEDS cells: FLAGS, FLAG_REGISTERED_ONLY, CELL_BYTES, cell_values, cells
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

-- For each request to these cells: true if its user is not registered. There is a buyers key for
-- each pool, and behind them are as many sets of users.
local unregistered = {}
if guarded then
  local first, askers = BUYERS + (#KEYS - BUYERS) / 2, {} -- requests and their users, by the key of their set
  for i = 1, #place do
    if guarded[place[i]] then
      local key = KEYS[first + byte(pools, place[i])]
      local asker = askers[key] or {users = {}}
      askers[key], asker[#asker + 1], asker.users[#asker + 1] = asker, i, sub(ARGV[asks_at + i], 1, 8)
    end
  end
  for key, asker in pairs(askers) do
    local there = call("SMISMEMBER", key, unpack(asker.users))
    for k, i in ipairs(asker) do unregistered[i] = there[k] == 0 end
  end
end
