-- take decides a vector of reserves or deducts, which differ only in what becomes of the units. A
-- script that includes it has named KIND, STATE, and HOLDS: are the units held until a deadline?
local res, ends, outbox = KEYS[2], KEYS[3], KEYS[4]
local head, outbox_max, retention_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local pools, marks, places = ARGV[4], ARGV[5], ARGV[6]
local cells_n, n = #pools, #places
local first = 6 + cells_n
if #ARGV ~= first + n or #marks ~= 10 * cells_n and #marks ~= 10 * n then
  return redis.error_reply("BADARG take: counts do not match")
end

-- Read. ZCARD and XLEN fail here, before anything is written, if their keys have another type.
local now = clock()
local outbox_full = redis.call("XLEN", outbox) >= outbox_max
redis.call("ZCARD", ends)
read_cells({unpack(ARGV, 7, first)})
local ids, cell_of = {}, {string.byte(places, 1, n)}
for i = 1, n do ids[i] = string.sub(ARGV[first + i], 1, 16) end
local found = redis.call("HMGET", res, unpack(ids))

-- Where a limit applies: who takes, and the units he holds and owns already.
local buyers, owned, by_key = {}, {}, {}
for i = 1, n do
  local c = cell_of[i]
  if not found[i] and flags[c] and limit[c] > 0 then
    buyers[i] = cell_ids[c] .. string.sub(ARGV[first + i], 17, 24)
    append(by_key, KEYS[4 + string.byte(pools, c)], buyers[i])
  end
end
for key, fields in pairs(by_key) do
  local units = redis.call("HMGET", key, unpack(fields))
  for k, field in ipairs(fields) do
    owned[field] = units[k] and struct.unpack(">I3", units[k]) or 0
  end
end

-- refusal is why no request to cell c passes, or false. mark is the place of what its caller has
-- seen of the cell: if that is more than Redis knows, Redis has lost it.
local function refusal(c, mark)
  local mark_epoch, mark_seq = struct.unpack(">I4I6", marks, 10 * mark - 9)
  if not cell_values[c] then return mark_epoch + mark_seq > 0 and FENCED or NOT_LOADED end
  if flags[c] and (epoch[c] < mark_epoch or epoch[c] == mark_epoch and seq[c] < mark_seq) then
    flag(c, FLAG_FENCED)
    return FENCED
  end
  local why = shut(c)
  if why then return why end
  if bit.band(flags[c], FLAG_FROZEN) ~= 0 then return FROZEN end
  if now < opens[c] then return NOT_OPEN end
  if closes[c] > 0 and now >= closes[c] then return CLOSED end
  return outbox_full and BACKPRESSURE
end

-- Decide, each request in sight of those before it.
local fresh, set_res, set_buyers, ending = {}, {}, {}, {}
local record_head, deadline_of, refused, mark_each = {}, {}, {}, #marks > 10 * cells_n

local function accept(i, c, arg, qty)
  if not record_head[c] then
    record_head[c] = "\1" .. string.char(STATE + (limit[c] > 0 and 128 or 0)) .. cell_ids[c]
    deadline_of[c] = struct.pack(">I6", HOLDS and now + hold_ms[c] or 0)
  end
  move(c, -qty, HOLDS and qty or 0, HOLDS and 0 or qty)
  local seq6 = append_event(KIND, arg, c, deadline_of[c])
  local record = record_head[c] .. string.sub(arg, 17, 27) .. seq6 .. deadline_of[c]
    .. string.sub(arg, 28, 31)
  fresh[ids[i]] = record
  set_res[#set_res + 1] = ids[i]
  set_res[#set_res + 1] = record
  local buyer = buyers[i]
  if buyer then
    owned[buyer] = owned[buyer] + qty
    local key = KEYS[4 + string.byte(pools, c)]
    append(set_buyers, key, buyer)
    append(set_buyers, key, struct.pack(">I3", owned[buyer]))
  end
  append(ending, deadline_of[c] .. (HOLDS and string.sub(cell_ids[c], 9, 12) or ""), ids[i])
  answer(i, buyer and OK_COUNTED or OK)
end

for i = 1, n do
  local c, arg, known = cell_of[i], ARGV[first + i], found[i] or fresh[ids[i]]
  if known then
    local same = string.sub(known, 40, 43) == string.sub(arg, 28, 31)
    answer(i, same and REPLAYED or MISMATCH, same and known or nil)
  else
    if refused[c] == nil or mark_each then refused[c] = refusal(c, mark_each and i or c) end
    local qty = struct.unpack(">I3", arg, 25)
    if refused[c] then
      answer(i, refused[c])
    elseif buyers[i] and owned[buyers[i]] + qty > limit[c] then
      answer(i, LIMIT_REACHED)
    elseif avail[c] < qty then
      answer(i, SOLD_OUT)
    else
      accept(i, c, arg, qty)
    end
  end
end

-- Write. Nothing above has changed data: Redis does not roll back.
write_cells()
if set_res[1] then redis.call("HSET", res, unpack(set_res)) end
for key, set in pairs(set_buyers) do redis.call("HSET", key, unpack(set)) end
for group, members in pairs(ending) do
  local at_ms = HOLDS and struct.unpack(">I6", group) or now + retention_ms
  redis.call("ZADD", ends, at_ms, string.sub(group, 7) .. table.concat(members))
end
local entry_id, entry = write_outbox(outbox, head, now)
return {now, table.concat(verdicts), table.concat(records), cells_reply(), entry_id, entry}
