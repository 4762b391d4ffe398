-- cells: the cells of the call, in KEYS[2].
-- NEEDS base: call, byte, sub, concat, pack, unpacked, band, write_list
-- NEEDS verdicts: FENCED, BREACHED
-- GIVES AVAIL, HELD, SOLD, SEQ, TOTAL, EPOCH, LIMIT, HOLD_MS, OPENS, CLOSES, FLAGS, CELL_BYTES
-- GIVES FLAG_FROZEN, FLAG_FENCED, FLAG_BREACHED, FLAG_REGISTERED_ONLY
-- GIVES cell_ids, cell_values, cells, changed, read_cells, flag, level_bit, shut, behind
-- GIVES write_cells, cells_reply

-- A cell has version 1, or, where its settings have a bound of extensions or demand a registration,
-- version 2: 4 bytes more at the end. So scripts that know version 1 only go on with all other cells.

-- A cell that is there is a list of its counters and settings, in the order of its packed value:
-- version 1, avail 5, held 5, sold 5, seq 6, total 5, epoch 4, limit 3, hold_ms 4, opens 6,
-- closes 6, flags 1
local AVAIL, HELD, SOLD, SEQ, TOTAL, EPOCH = 1, 2, 3, 4, 5, 6
local LIMIT, HOLD_MS, OPENS, CLOSES, FLAGS = 7, 8, 9, 10, 11
local CELL_FORMAT, CELL_BYTES = ">I5I5I5I6I5I4I3I4I6I6B", 51
local VERSION_OF = {[CELL_BYTES] = 1, [CELL_BYTES + 4] = 2} -- by the bytes of a value
local FLAG_FROZEN, FLAG_FENCED, FLAG_BREACHED, FLAG_REGISTERED_ONLY = 1, 2, 4, 64

-- The cells of the call, by their place c among them, and which of them have changed.
local cell_ids, cell_values, cells, changed = {}, {}, {}, {}

-- read_cells reads the cells. A value of another version stays packed: it is refused like one
-- whose counters do not add up, and never written.
local function read_cells(ids)
  cell_ids, cell_values = ids, call("HMGET", KEYS[2], unpack(ids))
  for c = 1, #ids do
    local value = cell_values[c]
    if value and byte(value) == VERSION_OF[#value] then
      cells[c] = {unpacked(CELL_FORMAT, value, 2)}
    end
  end
end

local function flag(c, bits)
  cells[c][FLAGS], changed[c] = bit.bor(cells[c][FLAGS], bits), true
end

-- level_bit is 1, 2, 4 or 8 for a cell's acknowledge level, from default to log.
local function level_bit(cell) return 2 ^ (bit.rshift(cell[FLAGS], 4) % 4) end

-- shut says why nothing may happen to a cell that is there, or returns false. It flags a cell
-- whose counters do not add up.
local function shut(c)
  local cell = cells[c]
  if not cell then return BREACHED end
  if band(cell[FLAGS], FLAG_FENCED) ~= 0 then return FENCED end
  if band(cell[FLAGS], FLAG_BREACHED) ~= 0 then return BREACHED end
  if cell[AVAIL] + cell[HELD] + cell[SOLD] == cell[TOTAL] then return false end
  flag(c, FLAG_BREACHED)
  return BREACHED
end

-- behind reports whether a cell is behind a position that somebody has seen.
local function behind(cell, epoch, seq)
  return cell and (cell[EPOCH] < epoch or cell[EPOCH] == epoch and cell[SEQ] < seq)
end

local function write_cells()
  local set = {}
  for c = 1, #cell_ids do
    if changed[c] then
      local cell, value = cells[c], cell_values[c]
      cell_values[c] = pack(">BI5I5I5I6c0Bc0", VERSION_OF[#value], cell[AVAIL], cell[HELD], cell[SOLD],
        cell[SEQ], sub(value, 23, 50), cell[FLAGS], sub(value, 52))
      set[#set + 1] = cell_ids[c]
      set[#set + 1] = cell_values[c]
    end
  end
  write_list("HSET", KEYS[2], set)
end

-- cells_reply returns id and value of each cell. It leaves out a value of another version, and a
-- single zero stands for a cell that is not there.
local function cells_reply()
  local reply = {}
  for c = 1, #cell_ids do
    if cells[c] or not cell_values[c] then
      reply[#reply + 1] = cell_ids[c]
      reply[#reply + 1] = cell_values[c] or "\0"
    end
  end
  return concat(reply)
end
