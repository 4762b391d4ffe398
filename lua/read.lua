#!lua flags=no-writes
-- read reads cells and reservations as they are.
--
-- KEYS[1] cells  hash  cell -> counters and settings
-- KEYS[2] res    hash  reservation id -> record
-- ARGV[1] cells_n          int  how many cells
-- ARGV[2..] cells          14 bytes each
-- ARGV[..] reservations    16 bytes each
-- RETURN {time_ms, value, ...}: a value per cell, then per reservation, empty if it is not there
-- RETRY safe            reads only
-- #include lib/base.lua

local cells_n, reply = tonumber(ARGV[1]), {clock()}

local function read(key, first, last)
  if first > last then return end
  for _, value in ipairs(call("HMGET", key, unpack(ARGV, first, last))) do
    reply[#reply + 1] = value or ""
  end
end
read(KEYS[1], 2, 1 + cells_n)
read(KEYS[2], 2 + cells_n, #ARGV)
return reply
