-- base: short names, the time, and a write that may have nothing to do.
-- GIVES call, byte, char, sub, concat, pack, unpacked, band, clock, write_list

-- A local is found faster than a member of a table.
local call, byte, char, sub, concat = redis.call, string.byte, string.char, string.sub, table.concat
local pack, unpacked, band = struct.pack, struct.unpack, bit.band

-- clock is Redis time in ms. It stands still while a script runs.
local function clock()
  local time = call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- write_list writes a list of fields, values or members with one command, if there are any.
local function write_list(command, key, list)
  if list[1] then call(command, key, unpack(list)) end
end
