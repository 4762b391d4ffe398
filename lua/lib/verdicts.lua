-- verdicts: the byte that each verdict has in the answer.
-- GIVES OK, REPLAYED, SOLD_OUT, LIMIT_REACHED, NOT_LOADED, NOT_OPEN, CLOSED, FROZEN, FENCED, MISMATCH
-- GIVES UNKNOWN_RESERVATION, WRONG_STATE, WRONG_USER, BACKPRESSURE, BREACHED, NOT_REGISTERED
-- GIVES REPLICA_MISSING, REFUSED, USERS_MISSING, OK_COUNTED

-- The numbers are package stock's, appended to and never renumbered. OK_COUNTED is OK for a reservation that
-- counts against its user's limit.
local OK, REPLAYED, SOLD_OUT, LIMIT_REACHED, NOT_LOADED = "\0", "\1", "\2", "\3", "\4"
local NOT_OPEN, CLOSED, FROZEN, FENCED, MISMATCH = "\5", "\6", "\7", "\8", "\9"
local UNKNOWN_RESERVATION, WRONG_STATE, WRONG_USER, BACKPRESSURE = "\10", "\11", "\12", "\13"
local BREACHED, NOT_REGISTERED, REPLICA_MISSING, REFUSED = "\14", "\15", "\16", "\17"
local USERS_MISSING = "\18"
local OK_COUNTED = "\128"
