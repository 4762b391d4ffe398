#!lua flags=allow-oom
-- void gives lines of refused baskets back: held to avail. It spends ids without a record: they never come.
--
-- KEYS[1] mark      string      nonce and effects of the partition
-- KEYS[2] cells     hash        cell -> counters and settings
-- KEYS[3] res       hash        reservation id -> record
-- KEYS[4] gone      sorted set  end of retention in ms -> reservations
-- KEYS[5] outbox    stream      events for the persister
-- KEYS[6] baskets   hash        basket -> record
-- KEYS[7] undecided sorted set  begin in ms -> basket in full
-- KEYS[8..] buyers  hash        cell and user -> units held or sold, a key for each pool of the vector
-- ARGV[1] mark          14 bytes: as the caller last saw it
-- ARGV[2] head          3 bytes: version of the events, partition
-- ARGV[3] retention_ms  int  how long a finished reservation is remembered
-- ARGV[4] pools         4 bytes for each of KEYS[8..]
-- ARGV[5] parts         which lines are of one basket
-- ARGV[6..] ids         16 bytes per line: its reservation
-- ARGV[..] asks         29 bytes per line: user 8, quantity 3, fingerprint 4, cell 14
-- RETURN {time_ms, verdicts, records, cells, entry_id, entry, effects}
-- CODE 0 OK             given back
-- CODE 1 REPLAYED       no longer held; its record is the answer; nothing changed
-- CODE 8 FENCED         the cell is fenced; nothing changed, and the basket stays undecided
-- CODE 9 MISMATCH       the id is another basket's; nothing changed
-- CODE 10 UNKNOWN_RESERVATION  there was none, and its id is spent; at home without a basket nothing changed
-- CODE 11 WRONG_STATE   the basket is not being refused; nothing changed
-- CODE 14 BREACHED      the cell's counters do not add up, which shuts it; the basket stays undecided
-- CODE 17 REFUSED       the basket is refused already; nothing changed
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
local KIND, STATE, TO = 3, STATE_RELEASED, AVAIL
-- #include lib/settle.lua
local BASKETS, PARTS, FIRST = 6, ARGV[5], 6
-- #include lib/baskets.lua
-- #include lib/parts.lua

local now, baskets_of, lines = clock(), read_parts(FIRST - 1)
local asks_at = FIRST - 1 + lines
if lines == 0 or #ARGV ~= asks_at + lines then
  return redis.error_reply("BADARG void: counts do not match")
end
local found, held = call("HMGET", KEYS[3], unpack(ARGV, FIRST, asks_at)), {}
for i = 1, lines do
  local record = found[i]
  if record and readable(record) and is_held(record) then held[#held + 1] = record end
end
read_held(held, ARGV[4], 8)

-- spend writes the record of a line that nobody has taken. It has no event, and so no seq.
local function spend(id, ask)
  set_record(id, STATE_RELEASED, 0, "\0\0\0\0\0\0", ask)
  ended[#ended + 1] = id
  return UNKNOWN_RESERVATION
end

-- goes_back tells whether the record is of a line that is held. One that is due is left to the sweep.
local function goes_back(record, ask)
  return readable(record) and sub(record, 26, 29) == sub(ask, 12, 15)
    and is_held(record) and not is_due(record, now)
end

-- void gives a line back.
local function void(i)
  local id, ask = ARGV[FIRST - 1 + i], ARGV[asks_at + i]
  local record = fresh[id] or found[i]
  if not record then return spend(id, ask) end
  if not goes_back(record, ask) then return answer_again(record, ask) end
  local why = why_not(record)
  if not why then settle(id, record) end
  return why or OK
end

-- known is the verdict on all lines of a basket by its record, false if they go back.
local function known(record, whole)
  if not record then return UNKNOWN_RESERVATION end
  if not is_basket(record, whole) then return MISMATCH end
  local state = byte(record, 2)
  if state == BASKET_REFUSING then return false end
  return state == BASKET_REFUSED and REFUSED or WRONG_STATE
end

-- void_part gives the lines of a part back. At home the basket is refused then, unless a line waits.
local function void_part(part)
  local record, at, all, waits = part.id and baskets_of[part.id], #records + 1, false, false
  if part.id then
    all = known(record, part.whole)
    records[at] = all ~= MISMATCH and record or NO_BASKET
  end
  for i = part.first, part.last do
    verdicts[i] = all or void(i)
    waits = waits or verdicts[i] == FENCED or verdicts[i] == BREACHED
  end
  if part.id and not all and not waits then
    records[at] = move_basket(part.id, part.whole, BASKET_REFUSED, sub(record, 3, 4), now)
  end
end
for _, part in ipairs(parts) do void_part(part) end

-- Write. Nothing above has changed data: Redis does not roll back.
write_baskets()
return answer(now, write_settled(now, ARGV[2], tonumber(ARGV[3])))
