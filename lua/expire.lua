#!lua flags=allow-oom
-- expire gives units back whose deadline has passed: held to avail. Others that are held wait.
--
-- KEYS[1] mark     string      nonce and effects of the partition
-- KEYS[2] cells    hash        cell -> counters and settings
-- KEYS[3] res      hash        reservation id -> record
-- KEYS[4] gone     sorted set  end of retention in ms -> reservations
-- KEYS[5] outbox   stream      events for the persister
-- KEYS[6] due      sorted set  deadline in ms -> pool and reservations
-- KEYS[7..] buyers hash        cell and user -> units held or sold, a key for each pool of the vector
-- ARGV[1] mark          14 bytes: as the caller last saw it
-- ARGV[2] head          3 bytes: version of the events, partition
-- ARGV[3] retention_ms  int  how long a finished reservation is remembered
-- ARGV[4] pools         4 bytes for each of KEYS[7..]
-- ARGV[5] postpone_ms   int  when to look again at those that wait
-- ARGV[6..] members     of KEYS[6], as due has read them
-- RETURN {time_ms, expired, entry_id, entry, effects}
-- ERR BADARG            caller bug, never a business outcome
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            looks at each reservation's own state
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua
-- #include lib/verdicts.lua
-- #include lib/cells.lua
-- #include lib/records.lua
-- #include lib/buyers.lua
-- #include lib/outbox.lua
local KIND, STATE, TO = 4, STATE_EXPIRED, AVAIL
-- #include lib/settle.lua

-- read_ids returns the reservations of the members, one after the other.
local function read_ids()
  local ids = {}
  for m = 6, #ARGV do
    for at = 5, #ARGV[m], 16 do ids[#ids + 1] = sub(ARGV[m], at, at + 15) end
  end
  return ids
end

local now, ids, held, deadlines, odd = clock(), read_ids(), {}, {}, {}
if not ids[1] then return redis.error_reply("BADARG expire: no members") end
call("ZCARD", KEYS[6]) -- fails here, before anything is written, if the key has another type
local found = call("HMGET", KEYS[3], unpack(ids))
for i, record in ipairs(found) do
  odd[i] = record and not readable(record)
  deadlines[i] = record and not odd[i] and is_held(record) and deadline_of(record)
  if deadlines[i] and now >= deadlines[i] then held[#held + 1] = record end
end
read_held(held, ARGV[4], 7)

local NEVER = math.huge

-- expire_one expires the reservation at place i, and returns when to look at it again. If it is
-- held and not due, somebody has made it again under its old id since due read it, or the clock
-- was set back. Others wait for their cell, or for a program that can read their record. A
-- reservation may be at two places.
local function expire_one(i)
  if fresh[ids[i]] then return NEVER end
  if deadlines[i] and now < deadlines[i] then return deadlines[i] end
  if odd[i] or deadlines[i] and why_not(found[i]) then return now + ARGV[5] end
  if deadlines[i] then settle(ids[i], found[i]) end
  return NEVER
end

-- expire_all expires the reservations of all members. It sorts the members into those that are
-- done and those to look at again, with the time.
local function expire_all()
  local done, wait, i = {}, {}, 1
  for m = 6, #ARGV do
    local member, again = ARGV[m], NEVER
    for _ = 5, #member, 16 do
      again = math.min(again, expire_one(i))
      i = i + 1
    end
    if again < NEVER then
      wait[#wait + 1], wait[#wait + 2] = again, member
    else
      done[#done + 1] = member
    end
  end
  return done, wait
end
local done, wait = expire_all()

-- Write. Nothing above has changed data: Redis does not roll back.
write_list("ZREM", KEYS[6], done)
write_list("ZADD", KEYS[6], wait)
local entry_id, entry = write_settled(now, ARGV[2], tonumber(ARGV[3]))
return {now, #ended, entry_id, entry, effects}
