-- Verdicts and records of the answer, in the order of the requests.
local verdicts, records = {}, {}

local function answer(i, verdict, record)
  verdicts[i] = verdict
  records[#records + 1] = record
end
