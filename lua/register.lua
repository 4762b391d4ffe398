#!lua
-- register adds users to those who may take from the cells that a sale has in a partition.
--
-- KEYS[1] mark        string  nonce and effects of the partition
-- KEYS[2] registered  set     users who are registered for the sale, 8 bytes each
-- ARGV[1] mark      14 bytes: as the caller last saw it
-- ARGV[2..] users   8 bytes each
-- RETURN {users that were not there before}
-- ERR SHUT              the data are not those that were vetted
-- RETRY safe            a user who is there is not added again
-- #include lib/base.lua
-- #include lib/mark.lua
-- #include lib/effects.lua
return {call("SADD", KEYS[2], unpack(ARGV, 2))}
