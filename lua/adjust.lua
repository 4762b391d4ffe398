#!lua
-- adjust changes the stock of cells by a delta, their settings, or both, and creates cells.
--
-- KEYS[1] cells    hash        cell -> counters and settings
-- KEYS[2] res      hash        reservation id -> record
-- KEYS[3] gone     sorted set  end of retention in ms -> reservations
-- KEYS[4] outbox   stream      events for the persister
-- ARGV[1] head          3 bytes: version of the events, partition
-- ARGV[2] retention_ms  int  how long a finished reservation is remembered
-- ARGV[3] places        a byte per request: which of the cells it adjusts, from 1
-- ARGV[4] cells_n       int
-- ARGV[5..] cells       14 bytes each
-- ARGV[..] requests     two each: 45 bytes as in reserve, without quantity; then kind 1, create 1,
--          delta 8 signed, fields 1, settings 20 as at the end of a cell, reason
-- RETURN {time_ms, verdicts, records, cells, entry_id, entry}
-- CODE 0 OK            written
-- CODE 1 REPLAYED      decided before; its record is the answer; nothing changed
-- CODE 2 SOLD_OUT      avail does not cover a negative delta; nothing changed
-- CODE 4 NOT_LOADED    no such cell, and not to be created; nothing changed
-- CODE 7 FROZEN        the cell's counters do not add up, which shuts it; nothing else changed
-- CODE 8 FENCED        the cell is fenced; nothing changed
-- CODE 9 MISMATCH      the id is another request's; nothing changed
-- CODE 11 WRONG_STATE  the cell to create is there; nothing changed
-- ERR BADARG            caller bug, never a business outcome
-- RETRY safe            idempotent by the reservation ids
-- #include lib/verdicts.lua
-- #include lib/clock.lua
-- #include lib/lists.lua
-- #include lib/cells.lua
-- #include lib/outbox.lua
-- #include lib/reply.lua

local head, retention_ms, places, cells_n = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local first, n = 4 + cells_n, #places
if #ARGV ~= first + 2 * n then return redis.error_reply("BADARG adjust: counts do not match") end

-- Read. ZCARD and XLEN fail here, before anything is written, if their keys have another type.
local now = clock()
redis.call("ZCARD", KEYS[3])
redis.call("XLEN", KEYS[4])
read_cells({unpack(ARGV, 5, first)})
local ids = {}
for i = 1, n do ids[i] = string.sub(ARGV[first + 2 * i - 1], 1, 16) end
local found = redis.call("HMGET", KEYS[2], unpack(ids))

-- merge is the settings of cell c after an adjustment, 20 bytes as at the end of a cell.
local function merge(c, fields, new)
  local old = string.sub(cell_values[c], 32, 51)
  local function pick(field, from, to)
    return string.sub(bit.band(fields, field) ~= 0 and new or old, from, to)
  end
  local mask = 0
  if bit.band(fields, 16) ~= 0 then mask = mask + 48 end -- acknowledge level
  if bit.band(fields, 32) ~= 0 then mask = mask + 8 end -- shoppers may deduct
  if bit.band(fields, 64) ~= 0 then mask = mask + FLAG_FROZEN end
  flags[c] = bit.bor(bit.band(flags[c], bit.bnot(mask)), bit.band(string.byte(new, 20), mask))
  return pick(1, 1, 3) .. pick(8, 4, 7) .. pick(2, 8, 13) .. pick(4, 14, 19) .. string.char(flags[c])
end

-- refusal is why a cell cannot be adjusted, or false.
local function refusal(c, create, delta)
  if create then return cell_values[c] and WRONG_STATE end
  if not cell_values[c] then return NOT_LOADED end
  return shut(c) or avail[c] + delta < 0 and SOLD_OUT
end

-- Decide, each request in sight of those before it.
local fresh, set_res, ended = {}, {}, {}
for i, id in ipairs(ids) do
  local c, body, change = string.byte(places, i), ARGV[first + 2 * i - 1], ARGV[first + 2 * i]
  local kind, create, delta, fields = struct.unpack(">c1Bi8B", change)
  local known = found[i] or fresh[id]
  local why = not known and refusal(c, create == 1, delta)
  if known then
    local same = string.sub(known, 40, 43) == string.sub(body, 28, 31)
    answer(i, same and REPLAYED or MISMATCH, same and known or nil)
  elseif why then
    answer(i, why)
  else
    if create == 1 then
      cell_values[c], fields = string.rep("\0", CELL_BYTES), 127
      avail[c], held[c], sold[c], seq[c], total[c], epoch[c], flags[c] = 0, 0, 0, 0, 0, 1, 0
    end
    total[c] = total[c] + delta
    if total[c] > UNITS_MAX then return redis.error_reply("BADARG adjust: a cell would have too many units") end
    local settings = merge(c, fields, string.sub(change, 12, 31))
    cell_values[c] = string.rep("\0", 22) .. struct.pack(">I5I4", total[c], epoch[c]) .. settings
    move(c, delta, 0, 0)
    local seq6 = append_event(kind, body, c, struct.pack(">I6I2", 0, #change - 2)
      .. string.sub(change, 3, 11) .. settings .. string.sub(change, 32))
    fresh[id] = "\1" .. string.char(ADJUSTED) .. string.sub(body, 32, 45) .. string.sub(body, 17, 27)
      .. seq6 .. string.rep("\0", 6) .. string.sub(body, 28, 31)
    set_res[#set_res + 1] = id
    set_res[#set_res + 1] = fresh[id]
    ended[#ended + 1] = id
    answer(i, OK)
  end
end

-- Write. Nothing above has changed data: Redis does not roll back.
write_cells()
if ended[1] then
  redis.call("HSET", KEYS[2], unpack(set_res))
  redis.call("ZADD", KEYS[3], now + retention_ms, table.concat(ended))
end
local entry_id, entry = write_outbox(KEYS[4], head, now)
return {now, table.concat(verdicts), table.concat(records), cells_reply(), entry_id, entry}
