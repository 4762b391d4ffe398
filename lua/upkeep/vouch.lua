#!lua flags=allow-oom
-- vouch notes that a set of registered users is whole: it has all whom MySQL has.
--
-- KEYS[1] mark        string  nonce and effects of the partition
-- KEYS[2] registered  set     users who are registered for the sale, 8 bytes each
-- KEYS[3] whole       hash    sale -> nonce and users with which its set was found whole
-- ARGV[1] mark   14 bytes: as the caller saw it before it asked MySQL; only its nonce counts
-- ARGV[2] sale   4 bytes
-- ARGV[3] users  int  that MySQL has
-- RETURN {users of the set}: if they are fewer, nothing was noted
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            notes the same again
-- #include lib/base.lua
-- #include lib/mark.lua

local users = call("SCARD", KEYS[2])
if users >= tonumber(ARGV[3]) then
  call("HSET", KEYS[3], ARGV[2], pack(">c8I6", mark, users))
end
return {users}
