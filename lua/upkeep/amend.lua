#!lua
-- amend replaces a record or a user's count that differs from the events, unless it has changed since.
--
-- KEYS[1] mark  string      nonce and effects of the partition
-- KEYS[2] hash  hash        of records, or of users' counts
-- KEYS[3] list  sorted set  of deadlines, or of ends of retention
-- ARGV[1] mark    14 bytes: as the caller last saw it
-- ARGV[2] field   bytes  of the hash
-- ARGV[3] found   bytes  its value; empty: none
-- ARGV[4] wanted  bytes  its value to be; empty: none
-- ARGV[5] member  bytes  of the list, to be added; empty: none
-- ARGV[6] score   int    of the member: a time in ms, or with a sign so many ms from now on
-- RETURN {1}, or {0}: it is something else, and nothing was changed
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            writes the same again
-- #include lib/base.lua
-- #include lib/mark.lua

local is = call("HMGET", KEYS[2], ARGV[2])[1] or ""
if is == "\0\0\0" then is = "" end -- a count of none
call("ZCARD", KEYS[3]) -- fails here, before anything is written, if the key has another type
if is ~= ARGV[3] and is ~= ARGV[4] then return {0} end
if ARGV[4] == "" then
  call("HDEL", KEYS[2], ARGV[2])
elseif is ~= ARGV[4] then
  call("HSET", KEYS[2], ARGV[2], ARGV[4])
end
if ARGV[5] ~= "" then
  local score = tonumber(ARGV[6])
  if sub(ARGV[6], 1, 1) == "+" then score = clock() + score end
  call("ZADD", KEYS[3], score, ARGV[5])
end
return {1}
