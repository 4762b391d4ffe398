-- take: the body of reserve and deduct. Reserve moves units to held, deduct to sold.
-- NEEDS base: unpacked
-- NEEDS records: fresh
-- NEEDS answer: verdicts, answer_again, answer
-- NEEDS taking: n, ids_at, asks_at, now, found, place, buyers, read_takers, why_refused, accept, write_taken

-- Decide, each request in sight of those before it.
local function decide(i)
  local id, ask = ARGV[ids_at + i], ARGV[asks_at + i]
  local record = found[i] or fresh[id]
  if record then return answer_again(record, ask) end
  local qty = unpacked(">I3", ask, 9)
  return why_refused(i, qty) or accept(place[i], id, ask, qty, buyers[i])
end
read_takers()
for i = 1, n do verdicts[i] = decide(i) end

-- Write. Nothing above has changed data: Redis does not roll back.
return answer(now, write_taken())
