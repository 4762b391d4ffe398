-- records: what is remembered of reservations, deductions and adjustments, in KEYS[3].
-- NEEDS base: byte, pack
-- GIVES COUNTED, STATE_HELD, STATE_CONFIRMED, STATE_RELEASED, STATE_EXPIRED, STATE_ADJUSTED
-- GIVES fresh, set_records, set_record, readable

-- record:
-- version 1, state 1, seq 6, deadline 6, and what was asked: user 8, quantity 3, fingerprint 4, cell 14
-- Bit 7 of the state tells that the reservation counts against its user's limit.
local RECORD_VERSION, COUNTED = 1, 128
local STATE_HELD, STATE_CONFIRMED, STATE_RELEASED, STATE_EXPIRED, STATE_ADJUSTED = 1, 2, 3, 4, 5

-- The records that the call makes, by id and as a list for HSET.
local fresh, set_records = {}, {}

local function set_record(id, state, seq, deadline, ask)
  local record, n = pack(">BBI6c0c0", RECORD_VERSION, state, seq, deadline, ask), #set_records
  fresh[id], set_records[n + 1], set_records[n + 2] = record, id, record
end

-- readable tells whether a record is of this version. One that is not is left as it is, and spoils
-- only the requests about itself.
local function readable(record) return #record == 43 and byte(record) == RECORD_VERSION end
