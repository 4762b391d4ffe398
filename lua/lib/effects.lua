-- effects: refuses data that were set back, and counts what happens to them.
-- NEEDS base: call, pack, unpacked
-- NEEDS mark: mark
-- GIVES effects, count_effects

-- The effects that the mark counts. A caller who has seen more of them proves that the data were
-- set back. The script then deletes the mark, which stops all callers, even those who have seen
-- less.
local effects = unpacked(">I6", mark, 9)
if effects < unpacked(">I6", ARGV[1], 9) then
  call("DEL", KEYS[1])
  return redis.error_reply("SHUT effects are missing that were there")
end

local function count_effects(n)
  effects = effects + n
  call("SET", KEYS[1], pack(">c8I6", mark, effects))
end
