#!lua flags=allow-oom
-- forget removes the records of reservations whose retention has ended.
--
-- KEYS[1] res   hash        reservation id -> record
-- KEYS[2] gone  sorted set  end of retention in ms -> reservations
-- ARGV[1] limit  int  about how many records to remove
-- RETURN {records removed}
-- RETRY safe            removes what has ended at the time
-- #include lib/base.lua

local now, limit, forgotten = clock(), tonumber(ARGV[1]), 0
call("HLEN", KEYS[1]) -- fails here, before anything is written, if the key has another type
repeat
  local member = call("ZRANGE", KEYS[2], "-inf", now, "BYSCORE", "LIMIT", 0, 1)[1]
  if member then
    local ids = {}
    for at = 1, #member, 16 do ids[#ids + 1] = sub(member, at, at + 15) end
    call("HDEL", KEYS[1], unpack(ids))
    call("ZREM", KEYS[2], member)
    forgotten = forgotten + #ids
  end
until not member or forgotten >= limit
return {forgotten}
