#!lua flags=no-writes
-- may tells which commands of the scripts the caller must not run, or the server does not know by this name.
-- A script that lacks one would break off between its writes.
--
-- KEYS[1..] of a partition
-- ARGV[1..] commands, each with the arguments that it has after a key, parted by spaces
-- RETURN {command, ...}
-- RETRY safe            reads only

-- To ask about a command that there is not is an error.
local function may(...)
  local known, allowed = pcall(redis.acl_check_cmd, ...)
  return known and allowed
end

local denied = {}
for i = 1, #ARGV do
  local words, allowed = {}, true
  for word in string.gmatch(ARGV[i], "%S+") do words[#words + 1] = word end
  for k = 1, #KEYS do
    allowed = allowed and may(words[1], KEYS[k], unpack(words, 2))
  end
  if not allowed then denied[#denied + 1] = words[1] end
end
if not may("TIME") then denied[#denied + 1] = "TIME" end
return denied
