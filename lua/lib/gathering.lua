-- gathering: the body of gather.
-- NEEDS base: byte, unpacked
-- NEEDS verdicts: OK, REPLAYED, MISMATCH, UNKNOWN_RESERVATION, WRONG_STATE, REPLICA_MISSING, REFUSED
-- NEEDS verdicts: USERS_MISSING, BACKPRESSURE
-- NEEDS records: COUNTED, STATE_HELD, STATE_CONFIRMED, fresh
-- NEEDS answer: verdicts, records, answer_again
-- NEEDS asked: n, ids_at, asks_at, now, found, place, buyers
-- NEEDS taking: why_refused, accept
-- NEEDS baskets: BASKET_BEGUN, BASKET_HELD, BASKET_REFUSING, BASKET_REFUSED, NO_BASKET
-- NEEDS baskets: is_basket, move_basket, write_baskets, decided_baskets
-- NEEDS parts: parts, HELD_PART, read_parts

local baskets_of, lines = read_parts(ids_at)
if lines ~= n then return redis.error_reply("BADARG gather: counts do not match") end

-- is_live tells whether the record of a line still has its units.
local function is_live(record)
  local state = byte(record, 2) % COUNTED
  return state == STATE_CONFIRMED or state == STATE_HELD and now < unpacked(">I6", record, 9)
end

-- judge is the verdict on a line, OK if it is to be taken.
local function judge(i, held)
  local ask, record = ARGV[asks_at + i], found[i] or fresh[ARGV[ids_at + i]]
  if not record then
    return held and UNKNOWN_RESERVATION or why_refused(i, unpacked(">I3", ask, 9)) or OK
  end
  local verdict = answer_again(record, ask)
  return verdict == REPLAYED and not held and not is_live(record) and WRONG_STATE or verdict
end

-- note is the record of a basket, whose lines here got a verdict. A line that has ended decides
-- nothing: the basket may have been held before, which only all its lines tell.
local function note(part, record, why, line)
  if why == REPLICA_MISSING or why == USERS_MISSING or why == BACKPRESSURE or why == MISMATCH then
    return record or NO_BASKET
  end
  if why and why ~= WRONG_STATE then
    return move_basket(part.id, part.whole, BASKET_REFUSING, why, line, now)
  end
  if record then return record end
  local all = not why and #part.whole == 12 + 33 * (part.last - part.first + 1)
  return move_basket(part.id, part.whole, all and BASKET_HELD or BASKET_BEGUN, OK, 0, now)
end

-- known returns the verdict on all lines of a basket by its record, or false if each line is
-- decided by itself. A basket that is decided leaves the undecided ones: another one of its id and
-- fingerprint may have been decided in its place.
local function known(record, whole)
  if not record then return false end
  if not is_basket(record, whole) then return MISMATCH end
  local state = byte(record, 2)
  if state == BASKET_HELD or state == BASKET_REFUSED then decided_baskets[#decided_baskets + 1] = whole end
  return state >= BASKET_REFUSING and REFUSED
end

-- judge_all gives each line of a part its verdict, and returns the first refusal and its line.
local function judge_all(part, all, held)
  local why, line
  for i = part.first, part.last do
    local verdict = all or judge(i, held)
    if not why and verdict ~= OK and verdict ~= REPLAYED then why, line = verdict, i - part.first end
    verdicts[i] = verdict
  end
  return why, line
end

-- take_all takes the lines of a part that may be taken, unless one is refused. They are of different cells.
local function take_all(part, why)
  for i = part.first, part.last do
    local id, ask = ARGV[ids_at + i], ARGV[asks_at + i]
    if verdicts[i] == OK then
      verdicts[i] = why and REFUSED or accept(place[i], id, ask, unpacked(">I3", ask, 9), buyers[i])
    end
  end
end

-- gather decides a part, in sight of those before it.
local function gather(part)
  if not part.id then return take_all(part, (judge_all(part, false, part.kind == HELD_PART))) end
  local record, at = baskets_of[part.id], #records + 1
  local all = known(record, part.whole)
  records[at] = all ~= MISMATCH and record or NO_BASKET
  local held = record and byte(record, 2) == BASKET_HELD
  local why, line = judge_all(part, all, held)
  take_all(part, why)
  if not all and not held then records[at] = note(part, record, why, line) end
end
for _, part in ipairs(parts) do gather(part) end
write_baskets()
