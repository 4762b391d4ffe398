#!lua flags=allow-oom
-- expire moves the units of due reservations back from held to avail, and those of shut cells not.
--
-- KEYS[1] cells    hash        cell -> counters and settings
-- KEYS[2] res      hash        reservation id -> record
-- KEYS[3] gone     sorted set  end of retention in ms -> reservations
-- KEYS[4] outbox   stream      events for the persister
-- KEYS[5] due      sorted set  deadline in ms -> pool and reservations
-- KEYS[6..] buyers hash        cell and user -> units held or sold, a key for each pool of the vector
-- ARGV[1] head          3 bytes: version of the events, partition
-- ARGV[2] retention_ms  int  how long a finished reservation is remembered
-- ARGV[3] pools         4 bytes for each of KEYS[6..]
-- ARGV[4] postpone_ms   int  when to look again at reservations of shut cells
-- ARGV[5..] members     of KEYS[5], as the script due has read them
-- RETURN {time_ms, expired, entry_id, entry}
-- ERR BADARG            caller bug, never a business outcome
-- RETRY safe            looks at each reservation's own state
-- #include lib/verdicts.lua
-- #include lib/clock.lua
-- #include lib/lists.lua
-- #include lib/cells.lua
-- #include lib/outbox.lua
-- #include lib/reply.lua
local KIND, STATE = "\4", EXPIRED
-- #include lib/settle.lua

local now, ids = clock(), {}
for m = 5, #ARGV do
  for at = 5, #ARGV[m], 16 do ids[#ids + 1] = string.sub(ARGV[m], at, at + 15) end
end
if not ids[1] then return redis.error_reply("BADARG expire: no members") end
local found = redis.call("HMGET", KEYS[2], unpack(ids))
local is_due, to_settle = {}, {}
for i, record in ipairs(found) do
  is_due[i] = record and string.byte(record, 2) % 128 == HELD and now >= struct.unpack(">I6", record, 34)
  if is_due[i] then to_settle[#to_settle + 1] = record end
end
redis.call("ZCARD", KEYS[5])
read_held(to_settle, ARGV[3], 6)

-- A member leaves when none of its reservations is both due and stuck in a shut cell.
local i, expired, done, stuck = 0, 0, {}, {}
for m = 5, #ARGV do
  local waits = false
  for _ = 5, #ARGV[m], 16 do
    i = i + 1
    if is_due[i] and not fresh[ids[i]] then
      if why_not(found[i]) then
        waits = true
      else
        settle(ids[i], found[i])
        expired = expired + 1
      end
    end
  end
  if waits then
    stuck[#stuck + 1] = now + ARGV[4]
    stuck[#stuck + 1] = ARGV[m]
  else
    done[#done + 1] = ARGV[m]
  end
end

-- Write. Nothing above has changed data: Redis does not roll back.
if done[1] then redis.call("ZREM", KEYS[5], unpack(done)) end
if stuck[1] then redis.call("ZADD", KEYS[5], unpack(stuck)) end
local entry_id, entry = write_settled(now, ARGV[1], tonumber(ARGV[2]))
return {now, expired, entry_id, entry}
