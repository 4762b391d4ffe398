#!lua
-- rebuild writes again what a cell has lost: a part of its records, or, with the last part, the cell itself.
--
-- KEYS[1] mark   string      nonce and effects of the partition
-- KEYS[2] cells  hash        cell -> counters and settings
-- KEYS[3] res    hash        reservation id -> record
-- KEYS[4] due    sorted set  deadline in ms -> pool and reservations
-- KEYS[5] gone   sorted set  end of retention in ms -> reservations
-- KEYS[6] outbox stream      events for the persister
-- KEYS[7] buyers hash        cell and user -> units held or sold, of the cell's pool
-- KEYS[8] meta   hash        of the partition
-- ARGV[1] cell    14 bytes
-- ARGV[2] found   bytes  its value; empty: none
-- ARGV[3] wanted  bytes  its value to be; empty: more parts follow
-- ARGV[4] entry   bytes  events of the last part
-- ARGV[5..] records  three for each: id, score, record. The score is its deadline, or the end of
-- its retention.
-- RETURN {0: written, 1: the partition was vetted and sells, 2: the cell is another one,
-- 3: an id was used again}
-- RETRY safe            leaves records alone that are as new; the cell is another one once the last
-- part is written
-- #include lib/base.lua
-- #include lib/records.lua
-- #include lib/buyers.lua

local function state_of(record) return byte(record, 2) % COUNTED end

-- counts returns how many units of a record count against its user's limit. It is negative for a
-- return.
local function counts(record)
  local state = state_of(record)
  if state == STATE_RETURNED then return -unpacked(">I3", record, 23) end
  local owns = state == STATE_HELD or state == STATE_CONFIRMED
  return owns and byte(record, 2) > COUNTED and unpacked(">I3", record, 23) or 0
end

local function buyer_of(record) return sub(record, 30, 43) .. sub(record, 15, 22) end

-- Read. ZCARD and XLEN fail here, before anything is written, if their keys have another type.
if call("EXISTS", KEYS[1]) == 1 then return {1} end
if (call("HMGET", KEYS[2], ARGV[1])[1] or "") ~= ARGV[2] then return {2} end
for k = 4, 5 do call("ZCARD", KEYS[k]) end
call("XLEN", KEYS[6])
for k = 7, 8 do call("HLEN", KEYS[k]) end
local ids, buyers, found = {}, {[KEYS[7]] = {}}, {}
for i = 5, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
  buyers[KEYS[7]][#ids] = buyer_of(ARGV[i + 2])
end
if ids[1] then
  found = call("HMGET", KEYS[3], unpack(ids))
  read_buyers(buyers)
end

local due, gone = {}, {}

-- put notes a record, unless there is one as new. It returns false if its id was used again after a
-- retention that has ended: then the end of that retention is still listed, and would end the record.
local function put(id, score, record, old)
  if old and unpacked(">I6", old, 3) >= unpacked(">I6", record, 3) then return true end
  if old and state_of(old) ~= STATE_HELD then return false end
  local buyer = buyer_of(record)
  owned[buyer] = math.max(0, owned[buyer] + counts(record) - (old and counts(old) or 0))
  moved[buyer] = true
  set_records[#set_records + 1], set_records[#set_records + 2] = id, record
  if state_of(record) == STATE_HELD then
    due[#due + 1], due[#due + 2] = score, sub(record, 38, 41) .. id
  else
    gone[#gone + 1], gone[#gone + 2] = score, id
  end
  return true
end
for i = 1, #ids do
  if not put(ids[i], ARGV[3 * i + 3], ARGV[3 * i + 4], found[i]) then return {3} end
end

-- Write. Nothing above has changed data: Redis does not roll back.
write_list("HSET", KEYS[3], set_records)
write_list("ZADD", KEYS[4], due)
write_list("ZADD", KEYS[5], gone)
write_buyers(buyers)
if ARGV[3] ~= "" then
  call("HSET", KEYS[2], ARGV[1], ARGV[3])
  call("XADD", KEYS[6], "*", "e", ARGV[4])
  call("HINCRBY", KEYS[8], "rebuilt", 1)
end
return {0}
