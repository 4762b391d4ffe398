-- mark: refuses data that are not those of the last vetting, before anything else is done.
-- NEEDS base: call, sub
-- GIVES mark

-- The mark of the partition: nonce 8, effects 6. The nonce is that of the last vetting, and
-- effects counts what happened since. Data that were lost, exchanged or set back have another
-- mark or none. They serve nobody until a vetting.
local MARK_BYTES = 14
local mark = call("GET", KEYS[1]) or ""

local function is_vetted() return #mark == MARK_BYTES and sub(mark, 1, 8) == sub(ARGV[1], 1, 8) end
if not is_vetted() then
  return redis.error_reply("SHUT the data are not those that were vetted")
end
