-- settle ends held reservations: the part that confirm, release and expire share. A script that
-- includes it has named KIND, STATE and HELD, decides which reservations end, and calls read_held,
-- settle for each, and write_settled, in this order.
--
-- record: version 1, state 1 (bit 7: counted), cell 14, user 8, quantity 3, seq 6, deadline 6,
-- fingerprint 4
local place_of, fresh, set_res, ended = {}, {}, {}, {}
local buyers_key, owned = {}, {} -- by pool; by cell and user

-- read_held reads the cells of records and, where their units go back, what their users own. ZCARD
-- and XLEN fail here, before anything is written, if their keys have another type.
local function read_held(records_held, pools, first_key)
  redis.call("ZCARD", KEYS[3])
  redis.call("XLEN", KEYS[4])
  local cells, fields = {}, {}
  for k = 1, #pools / 4 do buyers_key[string.sub(pools, 4 * k - 3, 4 * k)] = KEYS[first_key + k - 1] end
  for _, record in ipairs(records_held) do
    local cell = string.sub(record, 3, 16)
    if not place_of[cell] then
      cells[#cells + 1] = cell
      place_of[cell] = #cells
    end
    if STATE ~= CONFIRMED and string.byte(record, 2) > 128 then
      local key = buyers_key[string.sub(record, 11, 14)]
      if not key then error({err = "BADARG settle: the pool of a reservation is not among the keys"}) end
      append(fields, key, string.sub(record, 3, 24))
    end
  end
  if cells[1] then read_cells(cells) end
  for key, list in pairs(fields) do
    local units = redis.call("HMGET", key, unpack(list))
    for k, field in ipairs(list) do owned[field] = units[k] and struct.unpack(">I3", units[k]) or 0 end
  end
end

-- why_not is why the reservation of a record cannot end, because of its cell, or false.
local function why_not(record)
  local c = place_of[string.sub(record, 3, 16)]
  if not cell_values[c] then return FENCED end
  return shut(c)
end

-- settle ends the reservation of a record and returns whether it still counts against its limit.
local function settle(id, record)
  local c, qty = place_of[string.sub(record, 3, 16)], struct.unpack(">I3", record, 25)
  local counted = string.byte(record, 2) > 128
  if STATE == CONFIRMED then
    move(c, 0, -qty, qty)
  else
    move(c, qty, -qty, 0)
    if counted then
      local field = string.sub(record, 3, 24)
      owned[field] = owned[field] - qty
    end
    counted = false
  end
  local seq6 = append_event(KIND, id .. string.sub(record, 17, 27) .. string.sub(record, 40, 43)
    .. string.sub(record, 3, 16), c, string.sub(record, 34, 39))
  fresh[id] = "\1" .. string.char(counted and STATE + 128 or STATE) .. string.sub(record, 3, 27)
    .. seq6 .. string.sub(record, 34, 43)
  set_res[#set_res + 1] = id
  set_res[#set_res + 1] = fresh[id]
  ended[#ended + 1] = id
  return counted
end

-- write_settled writes all that settle has decided, and returns the outbox entry's id and bytes.
local function write_settled(now, head, retention_ms)
  write_cells()
  local set, del = {}, {}
  for field, units in pairs(owned) do
    local key = buyers_key[string.sub(field, 9, 12)]
    if units > 0 then
      append(set, key, field)
      append(set, key, struct.pack(">I3", units))
    else
      append(del, key, field)
    end
  end
  for key, list in pairs(set) do redis.call("HSET", key, unpack(list)) end
  for key, list in pairs(del) do redis.call("HDEL", key, unpack(list)) end
  if ended[1] then
    redis.call("HSET", KEYS[2], unpack(set_res))
    redis.call("ZADD", KEYS[3], now + retention_ms, table.concat(ended))
  end
  return write_outbox(KEYS[4], head, now)
end
