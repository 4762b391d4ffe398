-- baskets: the records of baskets, and which of them are not decided yet.
-- NEEDS script: BASKETS place of their key; that of the undecided ones follows
-- NEEDS base: call, byte, sub, pack, write_list
-- NEEDS mark: mark
-- GIVES BASKET_BEGUN, BASKET_HELD, BASKET_REFUSING, BASKET_REFUSED, NO_BASKET, VETTING, NO_WHY
-- GIVES read_baskets, is_basket, is_intact, move_basket, write_baskets, decided_baskets

-- basket: version 1, state 1, why 2, fingerprint 4 Its id is that of its smallest line. why is the refusal 1
-- and its line 1. A basket that is begun has no refusal: there, why is the end of the nonce under which all
-- its lines at home were taken. It is zero if some were taken before, since the record was lost then.
-- An undecided basket is kept in full: user 8, fingerprint 4, and for each line id 16, cell 14,
-- quantity 3
local BASKET_BEGUN, BASKET_HELD, BASKET_REFUSING, BASKET_REFUSED = 1, 2, 3, 4
local BASKET_VERSION, BASKET_BYTES = 1, 8
local NO_BASKET = "\0\0\0\0\0\0\0\0" -- in an answer
local VETTING, NO_WHY = sub(mark, 7, 8), "\0\0" -- Open makes no nonce that ends with zeros

-- The records by id, as they are and as the call leaves them, and the writes of the call.
local baskets, set_baskets, begun_baskets, decided_baskets = {}, {}, {}, {}

-- read_baskets reads records into the list that it returns, by id. ZCARD fails here, before anything is
-- written, if its key has another type.
local function read_baskets(ids)
  if not ids[1] then return baskets end
  call("ZCARD", KEYS[BASKETS + 1])
  local values = call("HMGET", KEYS[BASKETS], unpack(ids))
  for i = 1, #ids do baskets[ids[i]] = values[i] end
  return baskets
end

-- is_basket tells whether a record is of a basket in full. One of an unknown version is not.
local function is_basket(record, whole)
  return #record == BASKET_BYTES and byte(record) == BASKET_VERSION and sub(record, 5, 8) == sub(whole, 9, 12)
end

-- is_intact tells whether nobody has decided a basket for certain: it is begun, and since then Redis has
-- lost nothing, for which each vetting of a shut partition makes a new nonce.
local function is_intact(record) return byte(record, 2) == BASKET_BEGUN and sub(record, 3, 4) == VETTING end

-- move_basket gives a basket a new record, and returns it.
local function move_basket(id, whole, state, why, at_ms)
  local record, size = pack(">BBc2c4", BASKET_VERSION, state, why, sub(whole, 9, 12)), #set_baskets
  if state == BASKET_HELD or state == BASKET_REFUSED then
    if baskets[id] then decided_baskets[#decided_baskets + 1] = whole end
  elseif not baskets[id] then
    begun_baskets[#begun_baskets + 1], begun_baskets[#begun_baskets + 2] = at_ms, whole
  end
  baskets[id], set_baskets[size + 1], set_baskets[size + 2] = record, id, record
  return record
end

local function write_baskets()
  write_list("HSET", KEYS[BASKETS], set_baskets)
  write_list("ZADD", KEYS[BASKETS + 1], begun_baskets)
  write_list("ZREM", KEYS[BASKETS + 1], decided_baskets)
end
