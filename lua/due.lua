#!lua flags=no-writes
-- due reads what is due for expire.
--
-- KEYS[1] due  sorted set  deadline in ms -> pool and reservations
-- ARGV[1] limit  int  about how many reservations to return
-- RETURN {time_ms, next_ms (0: none), more (0 or 1), member, ...}
-- ERR BADARG            caller bug, never a business outcome
-- RETRY safe            reads only
-- #include lib/clock.lua

local now, limit = clock(), tonumber(ARGV[1])
local reply, reservations, more = {now, 0, 0}, 0, true
while more and reservations < limit do
  local members = redis.call("ZRANGE", KEYS[1], "-inf", now, "BYSCORE", "LIMIT", #reply - 3, 64)
  for _, member in ipairs(members) do
    if reservations < limit then
      reply[#reply + 1] = member
      reservations = reservations + (#member - 4) / 16
    end
  end
  more = #members == 64
end
if redis.call("ZCOUNT", KEYS[1], "-inf", now) > #reply - 3 then reply[3] = 1 end
local ahead = redis.call("ZRANGE", KEYS[1], "(" .. now, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
reply[2] = tonumber(ahead[2] or 0)
return reply
