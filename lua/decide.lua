#!lua flags=allow-oom
-- decide moves the records of baskets that are begun: to held, or to refusing.
--
-- KEYS[1] mark      string      nonce and effects of the partition
-- KEYS[2] baskets   hash        basket -> record
-- KEYS[3] undecided sorted set  begin in ms -> basket in full
-- ARGV[1] mark      14 bytes: as the caller last saw it
-- ARGV[2] moves     4 bytes per basket: state from now on, 1 if intact, verdict on a refused line, which
-- ARGV[3..] ids     16 bytes per basket
-- ARGV[..] wholes   a basket in full each
-- RETURN {time_ms, verdicts, records, cells, entry_id, entry, effects}: no cells, and no entry
-- CODE 0 OK             moved; its record is in the answer
-- CODE 1 REPLAYED       it is so already; its record is the answer; nothing changed
-- CODE 9 MISMATCH       the id is another basket's; nothing changed
-- CODE 10 UNKNOWN_RESERVATION  no such basket; nothing changed
-- CODE 11 WRONG_STATE   decided otherwise, or intact no longer; its record is the answer; nothing changed
-- ERR BADARG            caller bug, never a business outcome
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            a basket is decided once
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua
-- #include lib/verdicts.lua
local BASKETS = 2
-- #include lib/baskets.lua

local moves, n = ARGV[2], #ARGV[2] / 4
if n == 0 or #ARGV ~= 2 + 2 * n then return redis.error_reply("BADARG decide: counts do not match") end
local now, found = clock(), read_baskets({unpack(ARGV, 3, 2 + n)})

-- decide is the verdict on a move, and the record after it.
local function decide(i)
  local id, whole = ARGV[2 + i], ARGV[2 + n + i]
  local to, intact = byte(moves, 4 * i - 3, 4 * i - 2)
  local record = found[id]
  if not record then return UNKNOWN_RESERVATION, NO_BASKET end
  if not is_basket(record, whole) then return MISMATCH, NO_BASKET end
  local state = byte(record, 2)
  if state == to then return REPLAYED, record end
  if state ~= BASKET_BEGUN then return WRONG_STATE, record end
  if intact == 1 and not is_intact(record) then return WRONG_STATE, record end
  return OK, move_basket(id, whole, to, sub(moves, 4 * i - 1, 4 * i), now)
end
local verdicts, records = {}, {}
for i = 1, n do verdicts[i], records[i] = decide(i) end

-- Write. Nothing above has changed data: Redis does not roll back.
write_baskets()
return {now, concat(verdicts), concat(records), "", "", "", effects}
