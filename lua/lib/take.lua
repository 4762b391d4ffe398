-- take: decides the requests of reserve and deduct. Reserve moves units to held, deduct to sold.
-- NEEDS base: unpacked
-- NEEDS records: fresh
-- NEEDS answer: verdicts, answer_again
-- NEEDS asked: n, ids_at, asks_at, found, place, buyers
-- NEEDS taking: why_refused, accept

-- Each request is decided in sight of those before it.
for i = 1, n do
  local id, ask = ARGV[ids_at + i], ARGV[asks_at + i]
  local record = found[i] or fresh[id]
  if record then
    verdicts[i] = answer_again(record, ask)
  else
    local qty = unpacked(">I3", ask, 9)
    verdicts[i] = why_refused(i, qty) or accept(place[i], id, ask, qty, buyers[i])
  end
end
