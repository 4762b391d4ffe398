-- gathering: the body of gather.
-- NEEDS base: byte, char, unpacked
-- NEEDS verdicts: OK, REPLAYED, MISMATCH, UNKNOWN_RESERVATION, WRONG_STATE, REPLICA_MISSING, REFUSED
-- NEEDS verdicts: USERS_MISSING, BACKPRESSURE
-- NEEDS records: COUNTED, STATE_HELD, STATE_CONFIRMED, fresh
-- NEEDS answer: verdicts, records, answer_again
-- NEEDS asked: n, ids_at, asks_at, now, found, place, buyers
-- NEEDS taking: why_refused, accept
-- NEEDS baskets: BASKET_BEGUN, BASKET_HELD, BASKET_REFUSING, BASKET_REFUSED, NO_BASKET, VETTING, NO_WHY
-- NEEDS baskets: is_basket, is_intact, move_basket, write_baskets, decided_baskets
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

-- The verdicts that are not recorded, so that the same basket may be held later.
local UNRECORDED = {
  [REPLICA_MISSING] = true, [USERS_MISSING] = true, [BACKPRESSURE] = true, [MISMATCH] = true,
}

-- refuses tells whether a verdict refuses a basket for good. A line that has ended refuses a basket that is
-- intact. Another one may have been held before, which only all its lines tell.
local function refuses(record, why)
  return why and (why ~= WRONG_STATE or record and is_intact(record))
end

-- note is the record of a basket, whose lines here got a verdict. fresh_lines says that nobody had taken
-- them before.
local function note(part, record, why, line, fresh_lines)
  if UNRECORDED[why] then return record or NO_BASKET end
  if refuses(record, why) then
    return move_basket(part.id, part.whole, BASKET_REFUSING, why .. char(line), now)
  end
  if record then return record end
  if not why and #part.whole == 12 + 33 * (part.last - part.first + 1) then
    return move_basket(part.id, part.whole, BASKET_HELD, NO_WHY, now)
  end
  return move_basket(part.id, part.whole, BASKET_BEGUN, fresh_lines and VETTING or NO_WHY, now)
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

-- judge_all gives each line of a part its verdict, and returns the first refusal and its line, and whether
-- all lines are to be taken.
local function judge_all(part, all, held)
  local fresh_lines, why, line = true, nil, nil
  for i = part.first, part.last do
    local verdict = all or judge(i, held)
    if not why and verdict ~= OK and verdict ~= REPLAYED then why, line = verdict, i - part.first end
    verdicts[i], fresh_lines = verdict, fresh_lines and verdict == OK
  end
  return why, line, fresh_lines
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
  local why, line, fresh_lines = judge_all(part, all, held)
  take_all(part, why)
  if not all and not held then records[at] = note(part, record, why, line, fresh_lines) end
end
for _, part in ipairs(parts) do gather(part) end
write_baskets()
