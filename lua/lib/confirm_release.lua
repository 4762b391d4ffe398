-- confirm_release: the body of confirm and release, which end held reservations by request.
-- NEEDS script: STATE after it, POOLS of the buyers keys from KEYS[6] on, FIRST of ARGV with a reservation
-- NEEDS base: call, byte, sub, clock
-- NEEDS verdicts: OK, REPLAYED, UNKNOWN_RESERVATION, WRONG_STATE, WRONG_USER, OK_COUNTED
-- NEEDS records: COUNTED, fresh, readable
-- NEEDS answer: verdicts, records, answer
-- NEEDS settle: is_held, is_due, read_held, why_not, settle, write_settled

local NOBODY = "\0\0\0\0\0\0\0\0" -- a service, which may settle anyone's

-- judge returns the verdict by the record of a reservation: OK if it may end so.
local function judge(record, user, now)
  if not record or not readable(record) then return UNKNOWN_RESERVATION end
  if user ~= NOBODY and user ~= sub(record, 15, 22) then return WRONG_USER end
  if byte(record, 2) % COUNTED == STATE then return REPLAYED end
  if not is_held(record) or is_due(record, now) then return WRONG_STATE end
  return OK
end

local users, now, judged, held = ARGV[4], clock(), {}, {}
if #users == 0 or #ARGV ~= FIRST - 1 + #users / 8 then
  return redis.error_reply("BADARG settle: counts do not match")
end
local found = call("HMGET", KEYS[3], unpack(ARGV, FIRST))
for i, record in ipairs(found) do
  judged[i] = judge(record, sub(users, 8 * i - 7, 8 * i), now)
  if judged[i] == OK then held[#held + 1] = record end
end
read_held(held, POOLS, 6)

-- Decide, each request in sight of those before it.
local function decide(i)
  local id, verdict = ARGV[FIRST - 1 + i], judged[i]
  local record = fresh[id] or found[i]
  if verdict == OK then
    if fresh[id] then
      verdict = REPLAYED
    else
      verdict = why_not(record) or settle(id, record) and OK_COUNTED or OK
    end
  end
  if verdict == REPLAYED or verdict == WRONG_STATE then records[#records + 1] = record end
  return verdict
end
for i = 1, #found do verdicts[i] = decide(i) end

-- Write. Nothing above has changed data: Redis does not roll back.
return answer(now, write_settled(now, ARGV[2], tonumber(ARGV[3])))
