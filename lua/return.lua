#!lua
-- return takes back units that were sold: sold to avail. The user's count falls with them, at most to 0.
--
-- KEYS[1] mark     string      nonce and effects of the partition
-- KEYS[2] cells    hash        cell -> counters and settings
-- KEYS[3] res      hash        reservation id -> record
-- KEYS[4] gone     sorted set  end of retention in ms -> reservations
-- KEYS[5] outbox   stream      events for the persister
-- KEYS[6..] buyers hash        cell and user -> units held or sold, a key for each pool of the vector
-- ARGV[1] mark          14 bytes: as the caller last saw it
-- ARGV[2] head          3 bytes: version of the events, partition
-- ARGV[3] outbox_max    int  entries of the outbox from which on nothing is taken back
-- ARGV[4] retention_ms  int  how long a return is remembered
-- ARGV[5] pools         a byte per cell: which of KEYS[6..] has its buyers, from 1
-- ARGV[6] places        a byte per request: which of the cells it is of, from 1
-- ARGV[7..] cells       14 bytes each
-- ARGV[..] ids          16 bytes per request: of the return
-- ARGV[..] asks         29 bytes per request: user 8, quantity 3, fingerprint 4, cell 14
-- ARGV[..] reasons      a text per request
-- RETURN {time_ms, verdicts, records, cells, entry_id, entry, effects}
-- CODE 0 OK             written
-- CODE 1 REPLAYED       decided before; its record is the answer; nothing changed
-- CODE 4 NOT_LOADED     no such cell; nothing changed
-- CODE 8 FENCED         the cell is fenced; nothing changed
-- CODE 9 MISMATCH       the id is another request's; nothing changed
-- CODE 11 WRONG_STATE   fewer units of the cell are sold; nothing changed
-- CODE 13 BACKPRESSURE  the outbox is full; nothing changed
-- CODE 14 BREACHED      the cell's counters do not add up, which shuts it; nothing else changed
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
-- #include lib/buyers.lua
-- #include lib/outbox.lua

local KIND, STATE, NO_DEADLINE = 11, STATE_RETURNED, "\0\0\0\0\0\0"
local pools, places = ARGV[5], ARGV[6]
local cells_n, n = #pools, #places
local ids_at, asks_at, reasons_at = 6 + cells_n, 6 + cells_n + n, 6 + cells_n + 2 * n
if n == 0 or #ARGV ~= reasons_at + n then
  return redis.error_reply("BADARG return: counts do not match")
end

-- Read. ZCARD and XLEN fail here, before anything is written, if their keys have another type.
local now, ended, givers, buyers = clock(), {}, {}, {}
local outbox_full = call("XLEN", KEYS[5]) >= tonumber(ARGV[3])
call("ZCARD", KEYS[4])
read_cells({unpack(ARGV, 7, ids_at)})
local found = call("HMGET", KEYS[3], unpack(ARGV, ids_at + 1, asks_at))
for i = 1, n do
  local c = byte(places, i)
  local key = KEYS[5 + byte(pools, c)]
  buyers[i] = cell_ids[c] .. sub(ARGV[asks_at + i], 1, 8)
  givers[key] = givers[key] or {}
  givers[key][#givers[key] + 1] = buyers[i]
end
read_buyers(givers)

-- refusal says why cell c takes no units back, or returns false.
local function refusal(c, qty)
  if not cell_values[c] then return NOT_LOADED end
  return shut(c) or outbox_full and BACKPRESSURE or cells[c][SOLD] < qty and WRONG_STATE
end

-- Decide, each request in sight of those before it.
local function give_back(i)
  local c, id, ask, reason = byte(places, i), ARGV[ids_at + i], ARGV[asks_at + i], ARGV[reasons_at + i]
  local record, qty, buyer = found[i] or fresh[id], unpacked(">I3", ask, 9), buyers[i]
  if record then return answer_again(record, ask) end
  local why = refusal(c, qty)
  if why then return why end

  local cell = cells[c]
  cell[AVAIL], cell[SOLD], cell[SEQ], changed[c] = cell[AVAIL] + qty, cell[SOLD] - qty, cell[SEQ] + 1, true
  if owned[buyer] > 0 then
    owned[buyer], moved[buyer] = owned[buyer] - qty, true -- one who owns less than nothing owns nothing
  end
  append_event(KIND, id, ask, cell, pack(">c0I2c0", NO_DEADLINE, #reason, reason))
  set_record(id, STATE, cell[SEQ], NO_DEADLINE, ask)
  ended[#ended + 1] = id
  return OK
end
for i = 1, n do verdicts[i] = give_back(i) end

-- Write. Nothing above has changed data: Redis does not roll back.
write_cells()
write_list("HSET", KEYS[3], set_records)
write_buyers(givers)
if ended[1] then call("ZADD", KEYS[4], now + tonumber(ARGV[4]), concat(ended)) end
return answer(now, write_outbox(KEYS[5], "\2" .. sub(ARGV[2], 2), now))
