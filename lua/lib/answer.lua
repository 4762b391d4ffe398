-- answer: the answer to the caller of a vector.
-- NEEDS base: sub, concat
-- NEEDS effects: effects
-- NEEDS verdicts: REPLAYED, MISMATCH
-- NEEDS cells: cells_reply
-- NEEDS records: readable
-- GIVES verdicts, records, answer_again, answer

-- A verdict for each request, and the records of those that were decided before.
local verdicts, records = {}, {}

-- answer_again decides a request whose id is taken.
local function answer_again(record, ask)
  if not readable(record) or sub(record, 26, 29) ~= sub(ask, 12, 15) then return MISMATCH end
  records[#records + 1] = record
  return REPLAYED
end

-- answer returns the script's answer, with the outbox entry's id and bytes.
local function answer(now, entry_id, entry)
  return {now, concat(verdicts), concat(records), cells_reply(), entry_id, entry, effects}
end
