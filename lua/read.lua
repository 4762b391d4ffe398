#!lua flags=no-writes
-- read reads cells and reservations as they are.
--
-- KEYS[1] mark   string  nonce and effects of the partition
-- KEYS[2] cells  hash    cell -> counters and settings
-- KEYS[3] res    hash    reservation id -> record
-- ARGV[1] mark             14 bytes: as the caller last saw it
-- ARGV[2] cells_n          int  how many cells
-- ARGV[3..] cells          14 bytes each
-- ARGV[..] reservations    16 bytes each
-- RETURN {time_ms, value, ...}: a value per cell, then per reservation, empty if it is not there
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            reads only
-- #include lib/base.lua
-- #include lib/mark.lua

local cells_n, reply = tonumber(ARGV[2]), {clock()}

local function read(key, first, last)
  if first > last then return end
  for _, value in ipairs(call("HMGET", key, unpack(ARGV, first, last))) do
    reply[#reply + 1] = value or ""
  end
end
read(KEYS[2], 3, 2 + cells_n)
read(KEYS[3], 3 + cells_n, #ARGV)
return reply
