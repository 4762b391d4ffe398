#!lua
-- extend moves the deadline of held reservations, at most by the bound of their cell.
--
-- KEYS[1] mark     string      nonce and effects of the partition
-- KEYS[2] cells    hash        cell -> counters and settings
-- KEYS[3] res      hash        reservation id -> record
-- KEYS[4] due      sorted set  deadline in ms -> pool and reservations
-- KEYS[5] outbox   stream      events for the persister
-- ARGV[1] mark         14 bytes: as the caller last saw it
-- ARGV[2] head         3 bytes: version of the events, partition
-- ARGV[3] outbox_max   int  entries of the outbox from which on nothing is extended
-- ARGV[4] users        8 bytes per request, 0: a service, which may extend anyone's
-- ARGV[5] deadlines    6 bytes per request: the one that is asked for, in ms
-- ARGV[6..] ids        16 bytes per request: its reservation
-- RETURN {time_ms, verdicts, records, cells, entry_id, entry, effects}
-- CODE 0 OK             written; its record is in the answer; it may end before what is asked for
-- CODE 1 REPLAYED       it ends no earlier, or as late as it may; its record is the answer; nothing changed
-- CODE 3 LIMIT_REACHED  the cell allows no extension; nothing changed
-- CODE 8 FENCED         the cell is fenced; nothing changed
-- CODE 10 UNKNOWN_RESERVATION  no such reservation; nothing changed
-- CODE 11 WRONG_STATE   no longer held; its record is the answer; nothing changed
-- CODE 12 WRONG_USER    it is another user's; nothing changed
-- CODE 13 BACKPRESSURE  the outbox is full; nothing changed
-- CODE 14 BREACHED      the cell's counters do not add up, which shuts it; nothing else changed
-- ERR BADARG            caller bug, never a business outcome
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            a deadline never moves back, and no further than asked for
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua
-- #include lib/verdicts.lua
-- #include lib/cells.lua
-- #include lib/records.lua
-- #include lib/answer.lua
-- #include lib/buyers.lua
-- #include lib/outbox.lua
local KIND, STATE, TO = 12, STATE_HELD, HELD
-- #include lib/settle.lua

local users, asked, FIRST = ARGV[4], ARGV[5], 6
if #users == 0 or #ARGV ~= FIRST - 1 + #users / 8 or #asked ~= #users / 8 * 6 then
  return redis.error_reply("BADARG extend: counts do not match")
end
local now, held = clock(), {}
local outbox_full = call("XLEN", KEYS[5]) >= tonumber(ARGV[3])
local found = call("HMGET", KEYS[3], unpack(ARGV, FIRST))
local function read_cells_of_held()
  for _, record in ipairs(found) do
    if record and readable(record) and is_held(record) then held[#held + 1] = record end
  end
  read_held(held, "", 6)
end
read_cells_of_held()

local NOBODY = "\0\0\0\0\0\0\0\0" -- a service, which may extend anyone's

-- judge returns the verdict by the record of a reservation: OK if its deadline may move.
local function judge(record, user, deadline)
  if not record or not readable(record) then return UNKNOWN_RESERVATION end
  if user ~= NOBODY and user ~= sub(record, 15, 22) then return WRONG_USER end
  if not is_held(record) or is_due(record, now) then return WRONG_STATE end
  return deadline <= deadline_of(record) and REPLAYED or OK
end

-- bound_of returns by how many ms in all the cell of a record allows its deadline to be moved.
local function bound_of(record)
  local value = cell_values[place_of[cell_of(record)]]
  return #value > CELL_BYTES and unpacked(">I4", value, CELL_BYTES + 1) or 0
end
local function extended_of(record)
  return byte(record) == EXTENDED_VERSION and unpacked(">I4", record, 44) or 0
end

-- Reservations of one pool and deadline become one member of due.
local groups, group_of = {}, {}
local function join_group(id, pool, deadline)
  local key = deadline .. pool
  if not group_of[key] then
    groups[#groups + 1] = {pool, at_ms = deadline}
    group_of[key] = groups[#groups]
  end
  local group = group_of[key]
  group[#group + 1] = id
end

-- extend moves the deadline of a record.
local function extend(id, record, deadline, extended)
  local c, ask, packed = place_of[cell_of(record)], sub(record, 15, 43), pack(">I6", deadline)
  local cell, n = cells[c], #set_records
  cell[SEQ], changed[c] = cell[SEQ] + 1, true
  append_event(KIND, id, ask, cell, packed)
  record = pack(">BBI6c0c0I4", EXTENDED_VERSION, byte(record, 2), cell[SEQ], packed, ask, extended)
  set_records[n + 1], set_records[n + 2], fresh[id] = id, record, record
  join_group(id, sub(record, 38, 41), deadline)
  return record
end

-- decide returns the verdict on a request, and the record that goes with it, or nil.
local function decide(i)
  local id, deadline = ARGV[FIRST - 1 + i], unpacked(">I6", asked, 6 * i - 5)
  local record = fresh[id] or found[i]
  local verdict = judge(record, sub(users, 8 * i - 7, 8 * i), deadline)
  if verdict ~= OK then return verdict, (verdict == REPLAYED or verdict == WRONG_STATE) and record or nil end
  local why = why_not(record)
  if why then return why end
  local bound, extended, last = bound_of(record), extended_of(record), deadline_of(record)
  if bound == 0 then return LIMIT_REACHED end
  deadline = math.min(deadline, last - extended + bound)
  if deadline <= last then return REPLAYED, record end
  if outbox_full then return BACKPRESSURE end
  return OK, extend(id, record, deadline, extended + deadline - last)
end
for i = 1, #found do verdicts[i], records[#records + 1] = decide(i) end

-- Write. Nothing above has changed data: Redis does not roll back.
write_cells()
if groups[1] then call("HSET", KEYS[3], unpack(set_records)) end
for _, group in ipairs(groups) do call("ZADD", KEYS[4], group.at_ms, concat(group)) end
return answer(now, write_outbox(KEYS[5], "\2" .. sub(ARGV[2], 2), now))
