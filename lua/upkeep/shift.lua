#!lua
-- shift moves a cell's counters by a difference that no event explains, and it into its next epoch.
--
-- KEYS[1] mark    string      nonce and effects of the partition
-- KEYS[2] cells   hash        cell -> counters and settings
-- KEYS[3] res     hash        reservation id -> record
-- KEYS[4] gone    sorted set  end of retention in ms -> reservations
-- KEYS[5] outbox  stream      events for the persister
-- ARGV[1] mark          14 bytes: as the caller last saw it
-- ARGV[2] head          3 bytes: version of the events, partition
-- ARGV[3] retention_ms  int  how long the record of the shift is remembered
-- ARGV[4] cell          14 bytes
-- ARGV[5] epoch         int  that the cell is in
-- ARGV[6] avail         int  what is added, with its sign
-- ARGV[7] held          int
-- ARGV[8] sold          int
-- ARGV[9] id            16 bytes: of the shift
-- ARGV[10] reason       bytes
-- RETURN {code, seq, effects, entry_id, entry}; the entry is that of the outbox, empty unless DONE
-- CODE 0 REFUSED   the cell is not there, fenced, or in another epoch; nothing changed
-- CODE 1 DONE      the cell is in its next epoch
-- CODE 2 REPLAYED  done before; nothing changed
-- CODE 3 NEGATIVE  a counter would be below 0; nothing changed
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            idempotent by the id
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua
-- #include lib/verdicts.lua
-- #include lib/cells.lua
-- #include lib/records.lua
-- #include lib/outbox.lua

local id, now = ARGV[9], clock()
read_cells({ARGV[4]})
local cell, done = cells[1], call("HMGET", KEYS[3], id)[1]
if done then return {2, (unpacked(">I6", done, 3)), effects, "", ""} end
-- A cell whose counters do not add up is shut. A shift opens it again. It does not open a fenced
-- cell, which lacks events.
if not cell or cell[EPOCH] ~= tonumber(ARGV[5]) or band(cell[FLAGS], FLAG_FENCED) ~= 0 then
  return {0, 0, effects, "", ""}
end
local avail, held, sold = cell[AVAIL] + ARGV[6], cell[HELD] + ARGV[7], cell[SOLD] + ARGV[8]
if math.min(avail, held, sold) < 0 then return {3, cell[SEQ], effects, "", ""} end
call("ZCARD", KEYS[4]) -- these fail here, before anything is written, if their keys have another type
call("XLEN", KEYS[5])

local from = pack(">I4I6", cell[EPOCH], cell[SEQ])
cell[AVAIL], cell[HELD], cell[SOLD], cell[TOTAL] = avail, held, sold, avail + held + sold
cell[EPOCH], cell[SEQ] = cell[EPOCH] + 1, cell[SEQ] + 1
cell[FLAGS] = band(cell[FLAGS], bit.bnot(FLAG_BREACHED))
local settings = sub(cell_values[1], 32, 50) .. char(cell[FLAGS]) .. sub(cell_values[1], 52)
cell_values[1] = pack(">c22I5I4c0", cell_values[1], cell[TOTAL], cell[EPOCH], settings)
changed[1] = true
if #settings == 20 then settings = settings .. "\0\0\0\0" end -- no bound of extensions

local KIND, NOBODY = 9, string.rep("\0", 15) .. ARGV[4]
local change = from .. string.rep("\0", 8) .. "\255" .. settings .. ARGV[10]
append_event(KIND, id, NOBODY, cell, pack(">c6I2c0", string.rep("\0", 6), #change, change))
set_record(id, STATE_ADJUSTED, cell[SEQ], string.rep("\0", 6), NOBODY)

-- Write. Nothing above has changed data: Redis does not roll back.
write_cells()
write_list("HSET", KEYS[3], set_records)
call("ZADD", KEYS[4], now + tonumber(ARGV[3]), id)
local entry_id, entry = write_outbox(KEYS[5], ARGV[2], now)
return {1, cell[SEQ], effects, entry_id, entry}
