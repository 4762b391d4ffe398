#!lua flags=no-writes
-- undecided reads baskets that were begun long ago and are not decided, oldest first.
--
-- KEYS[1] mark      string      nonce and effects of the partition
-- KEYS[2] undecided sorted set  begin in ms -> basket in full
-- ARGV[1] mark    14 bytes: as the caller last saw it
-- ARGV[2] age_ms  int  how long ago they were begun at least
-- ARGV[3] skip    int  how many to leave out first
-- ARGV[4] limit   int  how many to return at most
-- RETURN {time_ms, basket, begin_ms, ...}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            reads only
-- #include lib/base.lua
-- #include lib/mark.lua

local now = clock()
local until_ms = now - tonumber(ARGV[2])
local found = call("ZRANGE", KEYS[2], "-inf", until_ms, "BYSCORE", "LIMIT", ARGV[3], ARGV[4], "WITHSCORES")
return {now, unpack(found)}
