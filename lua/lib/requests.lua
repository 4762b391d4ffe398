-- requests is the body of confirm and release, after settle. POOLS and FIRST are where a script has
-- the pools of its buyers keys, and its first request.

-- judge is what the record of a reservation says to a request, OK if it can end so.
local function judge(record, user, now)
  if not record then return UNKNOWN_RESERVATION end
  if user ~= "\0\0\0\0\0\0\0\0" and user ~= string.sub(record, 17, 24) then return WRONG_USER end
  local state = string.byte(record, 2) % 128
  if state == STATE then return REPLAYED end
  if state ~= HELD or now >= struct.unpack(">I6", record, 34) then return WRONG_STATE end
  return OK
end

local now, ids, judged, to_settle = clock(), {}, {}, {}
for i = FIRST, #ARGV do ids[#ids + 1] = string.sub(ARGV[i], 1, 16) end
if not ids[1] then return redis.error_reply("BADARG settle: no requests") end
local found = redis.call("HMGET", KEYS[2], unpack(ids))
for i, record in ipairs(found) do
  judged[i] = judge(record, string.sub(ARGV[FIRST + i - 1], 17, 24), now)
  if judged[i] == OK then to_settle[#to_settle + 1] = record end
end
read_held(to_settle, POOLS, 5)
for i, id in ipairs(ids) do
  local verdict, record = judged[i], found[i]
  if verdict == OK and fresh[id] then
    verdict, record = REPLAYED, fresh[id]
  elseif verdict == OK then
    verdict = why_not(record) or settle(id, record) and OK_COUNTED or OK
  end
  answer(i, verdict, (verdict == REPLAYED or verdict == WRONG_STATE) and record or nil)
end

-- Write. Nothing above has changed data: Redis does not roll back.
local entry_id, entry = write_settled(now, ARGV[1], tonumber(ARGV[2]))
return {now, table.concat(verdicts), table.concat(records), cells_reply(), entry_id, entry}
