-- settle: ends held reservations, for confirm, release and expire. A script calls read_held, settle for
-- each reservation, and write_settled, in this order.
-- NEEDS script: KIND of event, STATE after it, TO the counter that the units move to
-- NEEDS base: call, byte, sub, concat, unpacked, write_list
-- NEEDS verdicts: FENCED, BREACHED
-- NEEDS cells: AVAIL, HELD, SEQ, FLAG_BREACHED, cell_values, cells, changed
-- NEEDS cells: read_cells, flag, shut, write_cells
-- NEEDS records: COUNTED, STATE_HELD, set_records, set_record
-- NEEDS buyers: owned, moved, read_buyers, write_buyers
-- NEEDS outbox: append_event, write_outbox
-- GIVES place_of, cell_of, is_held, deadline_of, is_due, read_held, why_not, settle, ended, write_settled

local place_of, ended = {}, {} -- places of cells by their id; ids of reservations
local givers = {} -- who gives back, by the key of their hash

local function cell_of(record) return sub(record, 30, 43) end
local function buyer_of(record) return sub(record, 30, 43) .. sub(record, 15, 22) end
local function gives_back(record) return TO == AVAIL and byte(record, 2) > COUNTED end

local function is_held(record) return byte(record, 2) % COUNTED == STATE_HELD end
local function deadline_of(record) return (unpacked(">I6", record, 9)) end
local function is_due(record, now) return now >= deadline_of(record) end

-- read_givers reads how many units the users own whose reservations give units back. pools has
-- the pools of the buyers keys, which begin at KEYS[first].
local function read_givers(held, pools, first)
  local keys = {} -- by pool
  for k = 0, #pools / 4 - 1 do keys[sub(pools, 4 * k + 1, 4 * k + 4)] = KEYS[first + k] end
  for _, record in ipairs(held) do
    if gives_back(record) then
      local key = keys[sub(record, 38, 41)]
      if not key then error({err = "BADARG settle: no key for the pool of a reservation"}) end
      givers[key] = givers[key] or {}
      givers[key][#givers[key] + 1] = buyer_of(record)
    end
  end
  read_buyers(givers)
end

-- read_held reads everything that the end of the held reservations changes. ZCARD and XLEN fail
-- here, before anything is written, if their keys have another type.
local function read_held(held, pools, first)
  call("ZCARD", KEYS[4])
  call("XLEN", KEYS[5])
  local ids = {}
  for _, record in ipairs(held) do
    local cell = cell_of(record)
    if not place_of[cell] then
      ids[#ids + 1] = cell
      place_of[cell] = #ids
    end
  end
  if ids[1] then read_cells(ids) end
  read_givers(held, pools, first)
end

-- why_not says why the cell of a record does not let its reservation end, or returns false. If
-- fewer units are held than the reservation has, the cell is breached, even if its counters add
-- up.
local function why_not(record)
  local c = place_of[cell_of(record)]
  if not cell_values[c] then return FENCED end
  local why = shut(c)
  if not why and cells[c][HELD] < unpacked(">I3", record, 23) then
    flag(c, FLAG_BREACHED)
    return BREACHED
  end
  return why
end

-- settle ends the reservation of a record and returns whether it still counts against the limit.
local function settle(id, record)
  local c, ask, deadline = place_of[cell_of(record)], sub(record, 15, 43), sub(record, 9, 14)
  local counted, qty = byte(record, 2) > COUNTED, unpacked(">I3", record, 23)
  if gives_back(record) then
    local buyer = buyer_of(record)
    owned[buyer], moved[buyer], counted = owned[buyer] - qty, true, false
  end
  local cell = cells[c]
  cell[HELD], cell[TO], cell[SEQ], changed[c] = cell[HELD] - qty, cell[TO] + qty, cell[SEQ] + 1, true
  append_event(KIND, id, ask, cell, deadline)
  set_record(id, counted and STATE + COUNTED or STATE, cell[SEQ], deadline, ask)
  ended[#ended + 1] = id
  return counted
end

-- write_settled writes the effects that settle has accepted, and returns the outbox entry's id and
-- bytes.
local function write_settled(now, head, retention_ms)
  write_cells()
  if not ended[1] then return "", "" end
  write_buyers(givers)
  write_list("HSET", KEYS[3], set_records)
  call("ZADD", KEYS[4], now + retention_ms, concat(ended))
  return write_outbox(KEYS[5], head, now)
end
