#!lua flags=no-writes
-- due reads the reservations that expire has to end.
--
-- KEYS[1] mark  string      nonce and effects of the partition
-- KEYS[2] due   sorted set  deadline in ms -> pool and reservations
-- ARGV[1] mark   14 bytes: as the caller last saw it
-- ARGV[2] limit  int  about how many reservations to return
-- RETURN {time_ms, next_ms (0: none), more (0 or 1), member, ...}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            reads only
-- #include lib/base.lua
-- #include lib/mark.lua

local now, limit, reservations = clock(), tonumber(ARGV[2]), 0
local reply = {now, 0, 0}

-- read reads the next members, and returns whether there may be more within the limit.
local function read()
  local step = call("ZRANGE", KEYS[2], "-inf", now, "BYSCORE", "LIMIT", #reply - 3, 64)
  for _, member in ipairs(step) do
    if reservations >= limit then return false end
    reply[#reply + 1] = member
    reservations = reservations + (#member - 4) / 16
  end
  return #step == 64
end
repeat until not read()

local ahead = call("ZRANGE", KEYS[2], "(" .. now, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
reply[2] = tonumber(ahead[2] or 0)
if call("ZCOUNT", KEYS[2], "-inf", now) > #reply - 3 then reply[3] = 1 end
return reply
