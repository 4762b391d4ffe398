-- Cells, unpacked into one array per counter; a cell is known by its place c in them.
--
-- version 1, avail 5, held 5, sold 5, seq 6, total 5, epoch 4, limit 3, hold_ms 4, opens 6,
-- closes 6, flags 1
local CELL_BYTES, CELL_VERSION = 51, 1
local UNITS_MAX = 2 ^ 40 - 1
local FLAG_FROZEN, FLAG_FENCED, FLAG_BREACHED = 1, 2, 4

local cell_ids, cell_values = {}, {}
local avail, held, sold, seq, total, epoch = {}, {}, {}, {}, {}, {}
local limit, hold_ms, opens, closes, flags = {}, {}, {}, {}, {}
local changed = {}

-- read_cells fills the arrays. A value that is none of this version stays packed, without counters:
-- it is refused like one whose counters do not add up, and never written.
local function read_cells(ids)
  cell_ids = ids
  cell_values = redis.call("HMGET", KEYS[1], unpack(ids))
  for c = 1, #ids do
    local value = cell_values[c]
    if value and #value == CELL_BYTES and string.byte(value) == CELL_VERSION then
      avail[c], held[c], sold[c], seq[c], total[c], epoch[c], limit[c], hold_ms[c], opens[c],
        closes[c], flags[c] = struct.unpack(">I5I5I5I6I5I4I3I4I6I6B", value, 2)
    end
  end
end

local function flag(c, mark)
  flags[c], changed[c] = bit.bor(flags[c], mark), true
end

-- shut is why nothing may happen to a cell that is there, or false. It flags a breach of conservation.
local function shut(c)
  if not flags[c] then return FROZEN end
  if bit.band(flags[c], FLAG_FENCED) ~= 0 then return FENCED end
  if bit.band(flags[c], FLAG_BREACHED) ~= 0 then return FROZEN end
  if avail[c] + held[c] + sold[c] == total[c] then return false end
  flag(c, FLAG_BREACHED)
  return FROZEN
end

-- move changes the counters by one effect.
local function move(c, to_avail, to_held, to_sold)
  avail[c], held[c], sold[c] = avail[c] + to_avail, held[c] + to_held, sold[c] + to_sold
  seq[c], changed[c] = seq[c] + 1, true
end

local function write_cells()
  local set = {}
  for c = 1, #cell_ids do
    if changed[c] then
      cell_values[c] = "\1" .. struct.pack(">I5I5I5I6", avail[c], held[c], sold[c], seq[c])
        .. string.sub(cell_values[c], 23, 50) .. string.char(flags[c])
      set[#set + 1] = cell_ids[c]
      set[#set + 1] = cell_values[c]
    end
  end
  if set[1] then redis.call("HSET", KEYS[1], unpack(set)) end
end

-- cells_reply is id and value of each cell that was read. A value of no known form is left out, and
-- one that is not there is a single zero.
local function cells_reply()
  local reply = {}
  for c = 1, #cell_ids do
    if flags[c] or not cell_values[c] then
      reply[#reply + 1] = cell_ids[c]
      reply[#reply + 1] = cell_values[c] or "\0"
    end
  end
  return table.concat(reply)
end
