-- records: what is remembered of reservations, deductions and adjustments, in KEYS[3].
-- NEEDS base: byte, pack
-- GIVES COUNTED, STATE_HELD, STATE_CONFIRMED, STATE_RELEASED, STATE_EXPIRED, STATE_ADJUSTED
-- GIVES STATE_RETURNED, EXTENDED_VERSION, fresh, set_records, set_record, readable

-- record:
-- version 1, state 1, seq 6, deadline 6, and what was asked: user 8, quantity 3, fingerprint 4, cell 14
-- Bit 7 of the state tells that the reservation counts against its user's limit.
-- A held reservation whose deadline was moved has version 2, and at the end by how many ms: 4 bytes.
local RECORD_VERSION, EXTENDED_VERSION, COUNTED = 1, 2, 128
local STATE_HELD, STATE_CONFIRMED, STATE_RELEASED, STATE_EXPIRED, STATE_ADJUSTED = 1, 2, 3, 4, 5
local STATE_RETURNED = 7
local RECORD_BYTES = {43, 47} -- by version

-- The records that the call makes, by id and as a list for HSET.
local fresh, set_records = {}, {}

local function set_record(id, state, seq, deadline, ask)
  local record, n = pack(">BBI6c0c0", RECORD_VERSION, state, seq, deadline, ask), #set_records
  fresh[id], set_records[n + 1], set_records[n + 2] = record, id, record
end

-- readable reports whether a record has a known version. A script leaves any other record as it
-- is, and refuses only the requests about it.
local function readable(record) return #record == RECORD_BYTES[byte(record)] end
