-- parts: the lines of a vector by the basket that they are of, for gather and void.
-- NEEDS script: PARTS argument that describes them
-- NEEDS base: sub, unpacked
-- NEEDS baskets: read_baskets
-- GIVES parts, HELD_PART, read_parts

-- A part is all lines of one basket in the partition: lines 1, kind 1, bytes 2, and at home so many bytes
-- with the basket in full. Its kind is 1 at home, 2 for a basket that is held, or 0. The first line at home
-- has the basket's id.
local HOME_PART, HELD_PART = 1, 2
local parts = {}

-- read_parts reads the parts from the arguments, and the records of those at home. ids come after
-- argument before.
local function read_parts(before)
  local at, line, homes = 1, 1, {}
  while at <= #PARTS do
    local lines, kind, bytes = unpacked(">BBI2", PARTS, at)
    local part = {first = line, last = line + lines - 1, kind = kind}
    if kind == HOME_PART then
      part.id, part.whole = ARGV[before + line], sub(PARTS, at + 4, at + 3 + bytes)
      homes[#homes + 1] = part.id
    end
    parts[#parts + 1], line, at = part, line + lines, at + 4 + bytes
  end
  return read_baskets(homes), line - 1
end
