-- Buyers: the units that users hold and own of a cell where a limit applies, 3 bytes each. They are
-- known here by cell and user, as in their hash.
local owned = {}

local function read_owned(key, fields)
  local units = call("HMGET", key, unpack(fields))
  for i = 1, #fields do owned[fields[i]] = units[i] and unpacked(">I3", units[i]) or 0 end
end
