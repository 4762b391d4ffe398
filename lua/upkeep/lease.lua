#!lua flags=allow-oom
-- lease takes or renews the right to relay a partition's outbox, unless another owner has it.
--
-- KEYS[1] mark   string  nonce and effects of the partition
-- KEYS[2] relay  string  who has the right
-- ARGV[1] mark    14 bytes: as the caller last saw it
-- ARGV[2] owner   string
-- ARGV[3] ttl_ms  int
-- RETURN {taken: 0 or 1}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            the owner takes it once more
-- #include lib/base.lua
-- #include lib/mark.lua

local owner = call("GET", KEYS[2])
if owner and owner ~= ARGV[2] then return {0} end
call("SET", KEYS[2], ARGV[2], "PX", ARGV[3])
return {1}
