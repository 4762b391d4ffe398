#!lua
-- refill writes a part of what a partition held, which its restorer has read from MySQL and Kafka.
--
-- KEYS[1] mark     string      nonce and effects of the partition
-- KEYS[2] meta     hash        of the partition
-- KEYS[3] restorer string      who restores it
-- KEYS[4] outbox   stream      events for the persister
-- KEYS[5] due      sorted set  deadline in ms -> pool and reservations
-- KEYS[6] gone     sorted set  end of retention in ms -> reservations
-- KEYS[7] res      hash        reservation id -> record
-- KEYS[8] cells    hash        cell -> counters and settings
-- KEYS[9..] buyers hash        cell and user -> units held or sold, a key for each pool
-- ARGV[1] owner   string  who restores it
-- ARGV[2] ttl_ms  int  until somebody else may, where the owner falls silent
-- ARGV[3] done    int  1: it is whole with this part
-- ARGV[4] entry   string  events of this part; empty: none
-- ARGV[5] counts  2 bytes for each of KEYS[5..]: how many pairs of it follow
-- ARGV[6..] pairs  of each key: score and member, or field and value
-- RETURN {0: written, 1: another restores it, 2: it was vetted and sells}
-- RETRY safe            writes the same again; the entry may be there twice, as any entry may
-- #include lib/base.lua

local function refusal()
  if call("HMGET", KEYS[2], "restoring")[1] ~= ARGV[1] then return 1 end
  return call("EXISTS", KEYS[1]) == 1 and 2 or 0
end

local at = 6

-- write writes the pairs of a key, which are the next ones.
local function write(command, k)
  local n = 2 * unpacked(">I2", ARGV[5], 2 * (k - 5) + 1)
  if n > 0 then call(command, KEYS[k], unpack(ARGV, at, at + n - 1)) end
  at = at + n
end

local code = refusal()
if code > 0 then return {code} end
call("SET", KEYS[3], ARGV[1], "PX", ARGV[2])
write("ZADD", 5)
write("ZADD", 6)
for k = 7, #KEYS do write("HSET", k) end
if ARGV[4] ~= "" then call("XADD", KEYS[4], "*", "e", ARGV[4]) end
if ARGV[3] == "1" then
  call("HDEL", KEYS[2], "restoring")
  call("HSET", KEYS[2], "restored", ARGV[1])
end
return {0}
