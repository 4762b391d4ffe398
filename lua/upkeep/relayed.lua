#!lua flags=allow-oom
-- relayed notes the outbox entry up to which a partition has been relayed.
--
-- KEYS[1] mark  string  nonce and effects of the partition
-- KEYS[2] meta  hash    of the partition
-- ARGV[1] mark  14 bytes: as the caller last saw it
-- ARGV[2] id    string
-- RETURN {1}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            notes the same again
-- #include lib/base.lua
-- #include lib/mark.lua

call("HSET", KEYS[2], "relayed", ARGV[2])
return {1}
