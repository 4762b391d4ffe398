#!lua flags=allow-oom
-- clear empties a partition that is shut, for its restorer.
--
-- KEYS[1] mark     string      nonce and effects of the partition
-- KEYS[2] meta     hash        of the partition
-- KEYS[3] restorer string      who restores it
-- KEYS[4] baskets  hash        basket -> record
-- KEYS[5] undecided sorted set begin in ms -> basket in full
-- KEYS[6] cells    hash        cell -> counters and settings
-- KEYS[7] res      hash        reservation id -> record
-- KEYS[8] due      sorted set  deadline in ms -> pool and reservations
-- KEYS[9] gone     sorted set  end of retention in ms -> reservations
-- KEYS[10] outbox  stream      events for the persister
-- KEYS[11..] buyers hash       cell and user -> units held or sold, a key for each pool of the partition
-- ARGV[1] owner   string  who restores it from now on
-- ARGV[2] ttl_ms  int  until somebody else may, where the owner falls silent
-- ARGV[3] torn    int  1: what it holds may go, because a vetting has found that the rest is lost
-- ARGV[4] restored string  who had restored it last when that was found; another has put it right since
-- ARGV[5..] meta   fields and values
-- RETURN {code}
-- CODE 0 CLEARED    it is empty
-- CODE 1 RESTORING  another one restores it; nothing changed
-- CODE 2 OPEN       it was vetted and sells; nothing changed
-- CODE 3 HOLDS      it holds stock; nothing changed
-- CODE 4 TAKEN      it is empty, and another one had begun to restore it
-- RETRY safe            empties it again
-- #include lib/base.lua

local about = call("HMGET", KEYS[2], "restoring", "restored")
local begun = about[1]

local function refusal()
  local other = call("GET", KEYS[3])
  if other and other ~= ARGV[1] then return 1 end
  if call("EXISTS", KEYS[1]) == 1 then return 2 end
  local stored = call("EXISTS", unpack(KEYS, 6))
  local torn = ARGV[3] == "1" and (about[2] or "") == ARGV[4]
  return stored > 0 and not torn and not begun and 3 or 0
end

local code = refusal()
if code == 0 then
  call("DEL", unpack(KEYS, 4))
  call("HDEL", KEYS[2], "relayed")
  call("HSET", KEYS[2], "restoring", ARGV[1], unpack(ARGV, 5))
  call("SET", KEYS[3], ARGV[1], "PX", ARGV[2])
end
return {code == 0 and begun and begun ~= ARGV[1] and 4 or code}
