-- buyers: the units that users hold and own of a cell where a limit applies.
-- NEEDS base: call, pack, unpacked, write_list
-- GIVES owned, moved, read_buyers, write_buyers

-- A buyer is a cell and a user, as in the hash of its pool, which has 3 bytes of units for each.
-- owned has the units of each buyer, and moved those for whom they have changed.
local owned, moved = {}, {}

-- read_buyers reads the units of some buyers: lists of them, by the key of their hash.
local function read_buyers(lists)
  for key, buyers in pairs(lists) do
    local units = call("HMGET", key, unpack(buyers))
    for i = 1, #buyers do owned[buyers[i]] = units[i] and unpacked(">I3", units[i]) or 0 end
  end
end

-- write_buyers writes the units that have changed since read_buyers. A buyer without units has no
-- field.
local function write_buyers(lists)
  for key, buyers in pairs(lists) do
    local set, del = {}, {}
    for i = 1, #buyers do
      local buyer = buyers[i]
      if moved[buyer] and owned[buyer] > 0 then
        set[#set + 1], set[#set + 2] = buyer, pack(">I3", owned[buyer])
      elseif moved[buyer] then
        del[#del + 1] = buyer
      end
      moved[buyer] = nil -- who is there twice is written once
    end
    write_list("HSET", key, set)
    write_list("HDEL", key, del)
  end
end
