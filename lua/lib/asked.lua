-- asked: the requests of reserve, deduct or gather, and the cells, records and counts that they are
-- about.
-- NEEDS script: BUYERS keys before those of the buyers, EXTRAS arguments before the last one
-- NEEDS base: call, byte, pack, clock
-- NEEDS cells: LIMIT, cell_ids, cells, read_cells
-- NEEDS buyers: read_buyers
-- GIVES ends, outbox, head, retention_ms, pools, fences, unproven, n, ids_at, asks_at
-- GIVES now, outbox_full, found, place, buyers, takers

local ends, outbox = KEYS[4], KEYS[5]
local head, outbox_max, retention_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local pools, fences, places, unproven = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[#ARGV])
local cells_n, n = #pools, #places
local ids_at, asks_at = 7 + cells_n, 7 + cells_n + n
if #ARGV ~= asks_at + n + EXTRAS + 1 or #fences ~= 10 * cells_n then
  return redis.error_reply("BADARG take: counts do not match")
end

-- ZCARD and XLEN fail here, before anything is written, if their keys have another type.
local now = clock()
local outbox_full = call("XLEN", outbox) >= outbox_max
call("ZCARD", ends)
read_cells({unpack(ARGV, 8, ids_at)})
local found = call("HMGET", KEYS[3], unpack(ARGV, ids_at + 1, asks_at))
local place = {byte(places, 1, n)}

-- If a limit applies: the users who take, by request and by the key of their hash.
local buyers, takers = {}, {}
for i = 1, n do
  local c = place[i]
  if not found[i] and cells[c] and cells[c][LIMIT] > 0 then
    local key, buyer = KEYS[BUYERS + byte(pools, c)], pack("c0c8", cell_ids[c], ARGV[asks_at + i])
    local list = takers[key] or {}
    buyers[i], takers[key], list[#list + 1] = buyer, list, buyer
  end
end
read_buyers(takers)
