-- registered: who may take from cells that are for registered users only.
-- NEEDS script: BUYERS keys before those of the buyers
-- NEEDS base: call, byte, sub, band
-- NEEDS cells: FLAGS, FLAG_REGISTERED_ONLY, CELL_BYTES, cell_values, cells
-- GIVES unregistered, read_registered

-- Of each request, whether it is refused because its user is not registered.
local unregistered = {}

-- ask_sets asks for the users of new requests to guarded cells. The buyers keys are one for each pool, and
-- behind them are as many sets of users.
local function ask_sets(guarded, place, pools, found, asks_at)
  local first, askers = BUYERS + (#KEYS - BUYERS) / 2, {} -- requests, by the key of their set
  for i = 1, #place do
    local c = place[i]
    if guarded[c] and not found[i] then
      local key = KEYS[first + byte(pools, c)]
      askers[key] = askers[key] or {}
      askers[key][#askers[key] + 1] = i
    end
  end
  for key, requests in pairs(askers) do
    local users = {}
    for k, i in ipairs(requests) do users[k] = sub(ARGV[asks_at + i], 1, 8) end
    local there = call("SMISMEMBER", key, unpack(users))
    for k, i in ipairs(requests) do unregistered[i] = there[k] == 0 end
  end
end

-- read_registered fills unregistered. Cells that demand nothing cost a look at their length.
local function read_registered(place, pools, found, asks_at)
  local guarded
  for c = 1, #pools do
    if cells[c] and #cell_values[c] > CELL_BYTES and band(cells[c][FLAGS], FLAG_REGISTERED_ONLY) ~= 0 then
      guarded = guarded or {}
      guarded[c] = true
    end
  end
  if guarded then ask_sets(guarded, place, pools, found, asks_at) end
end
