-- outbox: the events of the call, which are one entry of the outbox.
-- NEEDS base: call, concat, pack
-- NEEDS effects: count_effects
-- NEEDS cells: AVAIL, HELD, SOLD, SEQ, EPOCH
-- GIVES append_event, write_outbox

-- They have the form of package event:
--
-- entry: version 1, partition 2, time 6, events 2, events
-- event: kind 1, reservation 16, what was asked 29 (as in its record), epoch 4, seq 6, avail 5,
-- held 5, sold 5, and the tail: deadline 6, and for adjustments the change
local events = {""} -- the first is the head of the entry

-- append_event appends the event of an effect. The cell is already as the effect leaves it.
local function append_event(kind, id, ask, cell, tail)
  events[#events + 1] = pack(">Bc0c0I4I6I5I5I5c0", kind, id, ask, cell[EPOCH], cell[SEQ],
    cell[AVAIL], cell[HELD], cell[SOLD], tail)
end

-- write_outbox appends the entry to the stream and returns its id and bytes, both empty if there was
-- no effect. head is version and partition.
local function write_outbox(key, head, now)
  if not events[2] then return "", "" end
  events[1] = pack(">c0I6I2", head, now, #events - 1)
  local entry = concat(events)
  count_effects(#events - 1)
  return call("XADD", key, "*", "e", entry), entry
end
