-- Events of the vector, in the form of package event: one entry of the outbox holds them all.
--
-- entry: version 1, partition 2, time 6, events 2, events
-- event: kind 1, reservation 16, user 8, quantity 3, fingerprint 4, cell 14 | epoch 4, seq 6,
-- avail 5, held 5, sold 5 | deadline 6, and for adjustments the change
local pieces, events = {}, 0

-- append_event appends the event of an effect on cell c, whose counters are those after it. body is
-- the part before the bar, without the kind; tail is the part after the balances. It returns the
-- packed seq.
local function append_event(kind, body, c, tail)
  local n = #pieces
  pieces[n + 1] = kind
  pieces[n + 2] = body
  local after = struct.pack(">I4I6I5I5I5", epoch[c], seq[c], avail[c], held[c], sold[c])
  pieces[n + 3] = after
  pieces[n + 4] = tail
  events = events + 1
  return string.sub(after, 5, 10)
end

-- write_outbox appends the entry to the stream and returns its id and bytes, both empty if there was
-- no effect. head is version and partition.
local function write_outbox(key, head, now)
  if events == 0 then return "", "" end
  local entry = head .. struct.pack(">I6I2", now, events) .. table.concat(pieces)
  return redis.call("XADD", key, "*", "e", entry), entry
end
