#!lua flags=allow-oom
-- vetted gives a partition the mark of a vetting.
--
-- KEYS[1] mark  string  nonce and effects of the partition
-- ARGV[1] mark  14 bytes
-- RETURN {1}
-- RETRY safe            writes the same again
-- #include lib/base.lua

call("SET", KEYS[1], ARGV[1])
return {1}
