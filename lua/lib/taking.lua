-- taking: how reserve, deduct and gather take units of cells.
-- NEEDS script: KIND of event, STATE after it, TO the counter that the units move to, HOLDS until a deadline?
-- NEEDS base: byte, sub, pack, unpacked, band
-- NEEDS verdicts: OK, SOLD_OUT, LIMIT_REACHED, NOT_LOADED, NOT_OPEN, CLOSED, FROZEN, FENCED, BACKPRESSURE
-- NEEDS verdicts: NOT_REGISTERED, REPLICA_MISSING, OK_COUNTED
-- NEEDS cells: AVAIL, SEQ, LIMIT, HOLD_MS, OPENS, CLOSES, FLAGS, FLAG_FROZEN, FLAG_FENCED
-- NEEDS cells: cell_ids, cell_values, cells, changed, flag, level_bit, shut, behind
-- NEEDS records: COUNTED, set_record
-- NEEDS buyers: owned, moved
-- NEEDS outbox: append_event
-- NEEDS asked: retention_ms, pools, fences, unproven, now, outbox_full, place, buyers
-- NEEDS registered: unregistered
-- GIVES groups, why_refused, accept

-- refusal is why no request to cell c passes, or false. A position that a caller has seen and that is ahead
-- of the cell tells that Redis has lost effects.
local function refusal(c)
  local cell, epoch, seq = cells[c], unpacked(">I4I6", fences, 10 * c - 9)
  if not cell_values[c] then return epoch + seq > 0 and FENCED or NOT_LOADED end
  if behind(cell, epoch, seq) then flag(c, FLAG_FENCED) end
  local why = shut(c)
  if why then return why end
  if band(cell[FLAGS], FLAG_FROZEN) ~= 0 then return FROZEN end
  if now < cell[OPENS] then return NOT_OPEN end
  if cell[CLOSES] > 0 and now >= cell[CLOSES] then return CLOSED end
  if outbox_full then return BACKPRESSURE end
  return band(unproven, level_bit(cell)) ~= 0 and REPLICA_MISSING
end

-- why_refused returns the verdict that refuses request i, which is new, or false. refusals keeps
-- the verdicts of cells.
local refusals = {}
local function why_refused(i, qty)
  local absent = unregistered[i]
  if absent == NOT_REGISTERED then return absent end
  local c, buyer = place[i], buyers[i]
  local why = refusals[c]
  if why == nil then
    why = refusal(c)
    refusals[c] = why
  end
  why = why or absent
  if why then return why end
  if buyer and owned[buyer] + qty > cells[c][LIMIT] then return LIMIT_REACHED end
  return cells[c][AVAIL] < qty and SOLD_OUT
end

-- Reservations of one pool and hold time share their deadline, and the member of due or gone that
-- they become. group_of finds those of a cell.
local groups, group_of = {}, {}

local function join_group(c)
  local hold_ms, k = HOLDS and cells[c][HOLD_MS] or 0, byte(pools, c)
  local key = hold_ms * 256 + k
  groups[key] = groups[key] or {
    HOLDS and sub(cell_ids[c], 9, 12) or "",
    at_ms = now + (HOLDS and hold_ms or retention_ms),
    deadline = pack(">I6", HOLDS and now + hold_ms or 0),
  }
  group_of[c], changed[c] = groups[key], true
  return groups[key]
end

-- accept carries out a request and returns its verdict.
local function accept(c, id, ask, qty, buyer)
  local cell, group = cells[c], group_of[c] or join_group(c)
  cell[AVAIL], cell[TO], cell[SEQ] = cell[AVAIL] - qty, cell[TO] + qty, cell[SEQ] + 1
  group[#group + 1] = id
  append_event(KIND, id, ask, cell, group.deadline)
  set_record(id, buyer and STATE + COUNTED or STATE, cell[SEQ], group.deadline, ask)
  if not buyer then return OK end
  owned[buyer], moved[buyer] = owned[buyer] + qty, true
  return OK_COUNTED
end
