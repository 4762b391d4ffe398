#!lua flags=allow-oom
-- shut deletes the mark of a partition, so that Redis refuses everybody who calls it.
--
-- KEYS[1] mark   string  nonce and effects of the partition
-- ARGV[1] found  14 bytes: as the caller has read it; only its nonce counts. Zero: there was none
-- RETURN {1}, or {0}: it is the mark of another vetting, and was left alone
-- RETRY safe            finds nothing to delete
-- #include lib/base.lua

local mark = call("GET", KEYS[1])
if not mark then return {1} end
if #mark == #ARGV[1] and sub(mark, 1, 8) ~= sub(ARGV[1], 1, 8) then return {0} end
call("DEL", KEYS[1])
return {1}
