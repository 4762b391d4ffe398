#!lua flags=allow-oom
-- forget removes the records of reservations whose retention has ended.
--
-- KEYS[1] res   hash        reservation id -> record
-- KEYS[2] gone  sorted set  end of retention in ms -> reservations
-- ARGV[1] limit  int  about how many reservations to remove
-- RETURN {number of records removed}
-- ERR BADARG            caller bug, never a business outcome
-- RETRY safe            removes what is due at the time
-- #include lib/clock.lua

local now, limit, forgotten, members = clock(), tonumber(ARGV[1]), 0, {}
redis.call("HLEN", KEYS[1]) -- fails here, before anything is written, if the key has another type
while forgotten < limit do
  members = redis.call("ZRANGE", KEYS[2], "-inf", now, "BYSCORE", "LIMIT", 0, 1)
  if not members[1] then break end
  local ids = {}
  for at = 1, #members[1], 16 do ids[#ids + 1] = string.sub(members[1], at, at + 15) end
  forgotten = forgotten + redis.call("HDEL", KEYS[1], unpack(ids))
  redis.call("ZREM", KEYS[2], members[1])
end
return {forgotten}
