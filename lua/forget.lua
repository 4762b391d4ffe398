#!lua flags=allow-oom
-- forget removes records of reservations whose retention has ended, and of decided baskets of the same ids.
--
-- KEYS[1] mark    string      nonce and effects of the partition
-- KEYS[2] res     hash        reservation id -> record
-- KEYS[3] gone    sorted set  end of retention in ms -> reservations
-- KEYS[4] baskets hash        basket -> record
-- ARGV[1] mark   14 bytes: as the caller last saw it
-- ARGV[2] limit  int  about how many records to remove
-- RETURN {records removed}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            removes what has ended at the time
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua

local now, limit, forgotten = clock(), tonumber(ARGV[2]), 0
call("HLEN", KEYS[2]) -- fails here, before anything is written, if a key has another type
local has_baskets = call("HLEN", KEYS[4]) > 0

-- forget_baskets removes the records of baskets that are decided. Somebody still has to decide the others.
local function forget_baskets(ids)
  local decided = {}
  for i, record in ipairs(call("HMGET", KEYS[4], unpack(ids))) do
    if record and byte(record, 2) % 2 == 0 then decided[#decided + 1] = ids[i] end
  end
  write_list("HDEL", KEYS[4], decided)
end
repeat
  local member = call("ZRANGE", KEYS[3], "-inf", now, "BYSCORE", "LIMIT", 0, 1)[1]
  if member then
    local ids = {}
    for at = 1, #member, 16 do ids[#ids + 1] = sub(member, at, at + 15) end
    call("HDEL", KEYS[2], unpack(ids))
    if has_baskets then forget_baskets(ids) end
    call("ZREM", KEYS[3], member)
    forgotten = forgotten + #ids
  end
until not member or forgotten >= limit
return {forgotten}
