#!lua flags=allow-oom
-- forget removes the records of reservations whose retention has ended.
--
-- KEYS[1] mark  string      nonce and effects of the partition
-- KEYS[2] res   hash        reservation id -> record
-- KEYS[3] gone  sorted set  end of retention in ms -> reservations
-- ARGV[1] mark   14 bytes: as the caller last saw it
-- ARGV[2] limit  int  about how many records to remove
-- RETURN {records removed}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            removes what has ended at the time
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua

local now, limit, forgotten = clock(), tonumber(ARGV[2]), 0
call("HLEN", KEYS[2]) -- fails here, before anything is written, if the key has another type
repeat
  local member = call("ZRANGE", KEYS[3], "-inf", now, "BYSCORE", "LIMIT", 0, 1)[1]
  if member then
    local ids = {}
    for at = 1, #member, 16 do ids[#ids + 1] = sub(member, at, at + 15) end
    call("HDEL", KEYS[2], unpack(ids))
    call("ZREM", KEYS[3], member)
    forgotten = forgotten + #ids
  end
until not member or forgotten >= limit
return {forgotten}
