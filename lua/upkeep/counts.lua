#!lua flags=no-writes
-- counts tells how much a partition's keys hold, at one moment. A full server would refuse a transaction.
--
-- KEYS[1] cells   hash        cell -> counters and settings
-- KEYS[2] res     hash        reservation id -> record
-- KEYS[3] gone    sorted set  end of retention in ms -> reservations
-- KEYS[4] due     sorted set  deadline in ms -> pool and reservations
-- KEYS[5] outbox  stream      events for the persister
-- RETURN {cells, records, ends of retention, deadlines, outbox: 0 or 1}
-- RETRY safe            reads only
-- #include lib/base.lua

return {
  call("HLEN", KEYS[1]), call("HLEN", KEYS[2]),
  call("ZCARD", KEYS[3]), call("ZCARD", KEYS[4]),
  call("EXISTS", KEYS[5]),
}
