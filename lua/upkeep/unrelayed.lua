#!lua flags=allow-oom
-- unrelayed has everything of a partition's outbox relayed again, and counts how often that was done.
--
-- KEYS[1] mark  string  nonce and effects of the partition
-- KEYS[2] meta  hash    of the partition
-- ARGV[1] mark  14 bytes: as the caller last saw it
-- RETURN {resets}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            counts one more
-- #include lib/base.lua
-- #include lib/mark.lua

local resets = call("HINCRBY", KEYS[2], "relay_resets", 1)
call("HSET", KEYS[2], "relayed", "")
return {resets}
