-- Verdicts, as the one byte that each has in the answer. The numbers are package stock's, appended
-- to and never renumbered. OK_COUNTED is OK for a reservation that counts against its user's limit.
local OK, REPLAYED, SOLD_OUT, LIMIT_REACHED, NOT_LOADED = "\0", "\1", "\2", "\3", "\4"
local NOT_OPEN, CLOSED, FROZEN, FENCED, MISMATCH = "\5", "\6", "\7", "\8", "\9"
local UNKNOWN_RESERVATION, WRONG_STATE, WRONG_USER, BACKPRESSURE = "\10", "\11", "\12", "\13"
local BREACHED, NOT_REGISTERED, REPLICA_MISSING = "\14", "\15", "\16"
local OK_COUNTED = "\128"

-- The answer: a verdict for each request, and the records of those that were decided before.
local verdicts, records = {}, {}
