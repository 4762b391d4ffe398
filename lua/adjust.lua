#!lua
-- adjust changes the stock of cells by a delta, their settings, or both, and creates cells.
--
-- KEYS[1] mark     string      nonce and effects of the partition
-- KEYS[2] cells    hash        cell -> counters and settings
-- KEYS[3] res      hash        reservation id -> record
-- KEYS[4] gone     sorted set  end of retention in ms -> reservations
-- KEYS[5] outbox   stream      events for the persister
-- ARGV[1] mark          14 bytes: as the caller last saw it
-- ARGV[2] head          3 bytes: version of the events, partition
-- ARGV[3] retention_ms  int  how long a finished reservation is remembered
-- ARGV[4] places        a byte per request: which of the cells it adjusts, from 1
-- ARGV[5] cells_n       int
-- ARGV[6..] cells       14 bytes each
-- ARGV[..] ids          16 bytes per request: of the adjustment
-- ARGV[..] asks         29 bytes per request: user 8, 0 3, fingerprint 4, cell 14
-- ARGV[..] changes      per request: kind 1, create 1, delta 8 (signed), fields 1, settings 24, reason
-- RETURN {time_ms, verdicts, records, cells, entry_id, entry, effects}
-- CODE 0 OK            written
-- CODE 1 REPLAYED      decided before; its record is the answer; nothing changed
-- CODE 2 SOLD_OUT      avail does not cover a negative delta; nothing changed
-- CODE 4 NOT_LOADED    no such cell, and not to be created; nothing changed
-- CODE 8 FENCED        the cell is fenced; nothing changed
-- CODE 9 MISMATCH      the id is another request's; nothing changed
-- CODE 11 WRONG_STATE  the cell to create is there; nothing changed
-- CODE 14 BREACHED     the cell's counters do not add up, which shuts it; nothing else changed
-- ERR BADARG            caller bug, never a business outcome
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            idempotent by the reservation ids
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua
-- #include lib/verdicts.lua
-- #include lib/cells.lua
-- #include lib/records.lua
-- #include lib/answer.lua
-- #include lib/outbox.lua

local places, cells_n = ARGV[4], tonumber(ARGV[5])
local n = #places
local ids_at, asks_at, changes_at = 5 + cells_n, 5 + cells_n + n, 5 + cells_n + 2 * n
if n == 0 or #ARGV ~= changes_at + n then
  return redis.error_reply("BADARG adjust: counts do not match")
end

-- Read. ZCARD and XLEN fail here, before anything is written, if their keys have another type.
local now, ended = clock(), {}
call("ZCARD", KEYS[4])
call("XLEN", KEYS[5])
read_cells({unpack(ARGV, 6, ids_at)})
local found = call("HMGET", KEYS[3], unpack(ARGV, ids_at + 1, asks_at))

-- merge returns the settings of cell c after a change: new ones for the fields of the change, old
-- ones for the rest. They have the form of the end of a cell. The bound of extensions is left out
-- if it is 0 and version 1 can express the rest.
local NO_DEADLINE, NO_BOUND = "\0\0\0\0\0\0", "\0\0\0\0"
local CREATED = 256 -- beside fields: what only a new cell gets
local function merge(c, fields, new)
  local old, mask = sub(cell_values[c], 32), 0
  local function pick(field, from, to)
    return sub(band(fields, field) ~= 0 and new or old, from, to)
  end
  if band(fields, 16) ~= 0 then mask = mask + 48 end -- acknowledge level
  if band(fields, 32) ~= 0 then mask = mask + 8 end -- shoppers may deduct
  if band(fields, 64) ~= 0 then mask = mask + FLAG_FROZEN end
  if band(fields, CREATED) ~= 0 then mask = mask + FLAG_REGISTERED_ONLY end
  cells[c][FLAGS] = bit.bor(band(byte(old, 20), bit.bnot(mask)), band(byte(new, 20), mask))
  local bound, demands = pick(128, 21, 24), band(cells[c][FLAGS], FLAG_REGISTERED_ONLY) ~= 0
  return pick(1, 1, 3) .. pick(8, 4, 7) .. pick(2, 8, 13) .. pick(4, 14, 19) .. char(cells[c][FLAGS])
    .. (bound == NO_BOUND and not demands and "" or bound)
end

-- refusal says why cell c cannot be changed, or returns false.
local function refusal(c, create, delta)
  if create then return cell_values[c] and WRONG_STATE end
  if not cell_values[c] then return NOT_LOADED end
  return shut(c) or cells[c][AVAIL] + delta < 0 and SOLD_OUT
end

-- The effects of the call, in order: arguments of append_event, delta and fields, settings,
-- reason. If any of them has long settings, all their events have the form of version 2.
local made, version = {}, 1

-- Decide, each request in sight of those before it.
local function adjust(i)
  local c, id, ask = byte(places, i), ARGV[ids_at + i], ARGV[asks_at + i]
  local change, record = ARGV[changes_at + i], found[i] or fresh[id]
  if record then return answer_again(record, ask) end
  local kind, create, delta, fields = unpacked(">BBi8B", change)
  local why = refusal(c, create == 1, delta)
  if why then return why end

  if create == 1 then
    cells[c], cell_values[c], fields = {0, 0, 0, 0, 0, 1}, string.rep("\0", CELL_BYTES), 255 + CREATED
  end
  local cell = cells[c]
  cell[AVAIL], cell[TOTAL], cell[SEQ] = cell[AVAIL] + delta, cell[TOTAL] + delta, cell[SEQ] + 1
  if cell[TOTAL] > 2 ^ 40 - 1 then error({err = "BADARG adjust: a cell would have too many units"}) end
  local settings = merge(c, fields, sub(change, 12, 35))
  cell_values[c] = pack(">c22I5I4c0", cell_values[c], cell[TOTAL], cell[EPOCH], settings)
  changed[c] = true
  if #settings > 20 then version = 2 end
  made[#made + 1] = {kind, id, ask, {unpack(cell)}, sub(change, 3, 11), settings, sub(change, 36)}
  set_record(id, STATE_ADJUSTED, cell[SEQ], NO_DEADLINE, ask)
  ended[#ended + 1] = id
  return OK
end
for i = 1, n do verdicts[i] = adjust(i) end
for _, m in ipairs(made) do
  local kind, id, ask, cell, delta, settings, reason = unpack(m)
  if version == 2 and #settings == 20 then settings = settings .. NO_BOUND end
  local length = #delta + #settings + #reason
  append_event(kind, id, ask, cell, pack(">c0I2c0c0c0", NO_DEADLINE, length, delta, settings, reason))
end

-- Write. Nothing above has changed data: Redis does not roll back.
write_cells()
write_list("HSET", KEYS[3], set_records)
if ended[1] then call("ZADD", KEYS[4], now + tonumber(ARGV[3]), concat(ended)) end
return answer(now, write_outbox(KEYS[5], char(version) .. sub(ARGV[2], 2), now))
