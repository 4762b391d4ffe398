-- taking: what reserve, deduct and gather have in common: what they read, and how they take units of cells.
-- NEEDS script: KIND of event, STATE after it, TO the counter that the units move to, HOLDS until a deadline?
-- NEEDS script: BUYERS keys before those of the buyers, EXTRAS arguments before the last one
-- NEEDS base: call, byte, sub, concat, pack, unpacked, band, clock, write_list
-- NEEDS verdicts: OK, SOLD_OUT, LIMIT_REACHED, NOT_LOADED, NOT_OPEN, CLOSED, FROZEN, FENCED, BACKPRESSURE
-- NEEDS verdicts: NOT_REGISTERED, REPLICA_MISSING, OK_COUNTED
-- NEEDS cells: AVAIL, SEQ, LIMIT, HOLD_MS, OPENS, CLOSES, FLAGS, FLAG_FROZEN, FLAG_FENCED
-- NEEDS cells: cell_ids, cell_values, cells, changed, read_cells, flag, level_bit, shut, behind, write_cells
-- NEEDS records: COUNTED, set_records, set_record
-- NEEDS buyers: owned, moved, read_buyers, write_buyers
-- NEEDS registered: unregistered, read_registered
-- NEEDS outbox: append_event, write_outbox
-- GIVES n, ids_at, asks_at, now, found, place, buyers, read_takers, why_refused, accept, write_taken

local ends, outbox = KEYS[4], KEYS[5]
local head, outbox_max, retention_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local pools, fences, places, unproven = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[#ARGV])
local cells_n, n = #pools, #places
local ids_at, asks_at = 7 + cells_n, 7 + cells_n + n
if #ARGV ~= asks_at + n + EXTRAS + 1 or #fences ~= 10 * cells_n then
  return redis.error_reply("BADARG take: counts do not match")
end

-- Read. ZCARD and XLEN fail here, before anything is written, if their keys have another type.
local now = clock()
local outbox_full = call("XLEN", outbox) >= outbox_max
call("ZCARD", ends)
read_cells({unpack(ARGV, 8, ids_at)})
local found = call("HMGET", KEYS[3], unpack(ARGV, ids_at + 1, asks_at))
local place = {byte(places, 1, n)}

-- Where a limit applies: who takes, by request and by the key of their hash.
local buyers, takers = {}, {}
local function read_takers()
  for i = 1, n do
    local c = place[i]
    if not found[i] and cells[c] and cells[c][LIMIT] > 0 then
      local key, buyer = KEYS[BUYERS + byte(pools, c)], pack("c0c8", cell_ids[c], ARGV[asks_at + i])
      local list = takers[key] or {}
      buyers[i], takers[key], list[#list + 1] = buyer, list, buyer
    end
  end
  read_buyers(takers)
  read_registered(place, pools, found, asks_at)
end

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
  if unregistered[i] then return NOT_REGISTERED end
  local c, buyer = place[i], buyers[i]
  local why = refusals[c]
  if why == nil then
    why = refusal(c)
    refusals[c] = why
  end
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

-- write_taken writes the accepted effects, and returns the outbox entry's id and bytes.
local function write_taken()
  write_cells()
  write_list("HSET", KEYS[3], set_records)
  write_buyers(takers)
  for _, group in pairs(groups) do call("ZADD", ends, group.at_ms, concat(group)) end
  return write_outbox(outbox, head, now)
end
