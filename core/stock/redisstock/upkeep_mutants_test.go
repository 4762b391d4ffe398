package redisstock_test

// upkeepMutants are bugs to seed in upkeep scripts: those that repair and restore, and the one that vouches for users.
var upkeepMutants = []mutant{
	{"amend whatever is there", "upkeep/amend.lua", `if is ~= ARGV[3] and is ~= ARGV[4] then return {0} end`, ``, "TestAmend.*"},
	{"amend what is there for what was not", "upkeep/amend.lua", `if is ~= ARGV[3] and`, `if ARGV[3] ~= "" and is ~= ARGV[3] and`, "TestAmend.*"},
	{"amend only once", "upkeep/amend.lua", ` and is ~= ARGV[4] then return`, ` then return`, "TestAmend.*"},
	{"amend by the wrong value", "upkeep/amend.lua", `"HSET", KEYS[2], ARGV[2], ARGV[4]`, `"HSET", KEYS[2], ARGV[2], ARGV[3]`, "TestAmend.*"},
	{"do not write what is amended", "upkeep/amend.lua", `call("HSET", KEYS[2], ARGV[2], ARGV[4])`, ``, "TestAmend.*"},
	{"keep what is to go", "upkeep/amend.lua", `call("HDEL", KEYS[2], ARGV[2])`, ``, "TestAmend.*"},
	{"a count of none is a count", "upkeep/amend.lua", `if is == "\0\0\0" then is = "" end`, ``, "TestAmendCount"},
	{"nobody ends what is amended", "upkeep/amend.lua", `call("ZADD", KEYS[3], score, ARGV[5])`, ``, "TestAmendRecord"},
	{"an end counts from 1970", "upkeep/amend.lua", `score = clock() + score`, `score = score + 0`, "TestAmendRecord"},
	{"a deadline counts from now", "upkeep/amend.lua", `if sub(ARGV[6], 1, 1) == "+" then`, `if true then`, "TestAmendRecord"},
	{"amend before all types are known", "upkeep/amend.lua", `call("ZCARD", KEYS[3])`, ``, "TestAmendRecord"},

	{"shift in any epoch", "upkeep/shift.lua", ` or cell[EPOCH] ~= tonumber(ARGV[5])`, ``, "TestShift"},
	{"shift a fenced cell", "upkeep/shift.lua", ` or band(cell[FLAGS], FLAG_FENCED) ~= 0 then`, ` then`, "TestShiftRefuses"},
	{"do not know a shift again", "upkeep/shift.lua", `if done then return`, `if false then return`, "TestShift"},
	{"shift twice", "upkeep/shift.lua", `if done then return {2, (unpacked(">I6", done, 3)), effects, "", ""} end`, `if done then ARGV[5] = cell[EPOCH] end`, "TestShift"},
	{"the wrong sign of avail", "upkeep/shift.lua", `cell[AVAIL] + ARGV[6]`, `cell[AVAIL] - ARGV[6]`, "TestShift"},
	{"the wrong sign of held", "upkeep/shift.lua", `cell[HELD] + ARGV[7]`, `cell[HELD] - ARGV[7]`, "TestShift.*"},
	{"the wrong sign of sold", "upkeep/shift.lua", `cell[SOLD] + ARGV[8]`, `cell[SOLD] - ARGV[8]`, "TestShift"},
	{"shift avail below 0", "upkeep/shift.lua", `math.min(avail, held, sold) < 0`, `math.min(held, sold) < 0`, "TestShiftRefuses"},
	{"shift held below 0", "upkeep/shift.lua", `math.min(avail, held, sold) < 0`, `math.min(avail, sold) < 0`, "TestShiftRefuses"},
	{"shift sold below 0", "upkeep/shift.lua", `math.min(avail, held, sold) < 0`, `math.min(avail, held) < 0`, "TestShiftRefuses"},
	{"leave the total", "upkeep/shift.lua", `, avail + held + sold`, `, cell[TOTAL]`, "TestShift"},
	{"keep the breach", "upkeep/shift.lua", `cell[FLAGS] = band(cell[FLAGS], bit.bnot(FLAG_BREACHED))`, ``, "TestShiftOpensABreach"},
	{"thaw a cell", "upkeep/shift.lua", `cell[FLAGS] = band(cell[FLAGS], bit.bnot(FLAG_BREACHED))`, `cell[FLAGS] = 0`, "TestShift"},
	{"stay in the epoch", "upkeep/shift.lua", `cell[EPOCH] + 1, cell[SEQ] + 1`, `cell[EPOCH], cell[SEQ] + 1`, "TestShift"},
	{"shift without a seq", "upkeep/shift.lua", `cell[EPOCH] + 1, cell[SEQ] + 1`, `cell[EPOCH] + 1, cell[SEQ]`, "TestShift"},
	{"begin the seq anew", "upkeep/shift.lua", `cell[EPOCH] + 1, cell[SEQ] + 1`, `cell[EPOCH] + 1, 1`, "TestShift"},
	{"lose settings in a shift", "upkeep/shift.lua", `sub(cell_values[1], 52)`, `""`, "TestShift"},
	{"no cell of a shift", "upkeep/shift.lua", `
write_cells()
`, `
`, "TestShift"},
	{"no event of a shift", "upkeep/shift.lua", `append_event(KIND, id, NOBODY, cell, pack(">c6I2c0", string.rep("\0", 6), #change, change))`, ``, "TestShift"},
	{"go on from another event", "upkeep/shift.lua", `pack(">I4I6", cell[EPOCH], cell[SEQ])`, `pack(">I4I6", cell[EPOCH], cell[SEQ] - 1)`, "TestShift"},
	{"no record of a shift", "upkeep/shift.lua", `write_list("HSET", KEYS[3], set_records)`, ``, "TestShift"},
	{"never forget shifts", "upkeep/shift.lua", `call("ZADD", KEYS[4], now + tonumber(ARGV[3]), id)`, ``, "TestShift"},
	{"shift before all types are known", "upkeep/shift.lua", `call("XLEN", KEYS[5])`, ``, "TestShiftRefuses"},

	{"nobody knows of a rebase", "upkeep/rebuild.lua", `call("HINCRBY", KEYS[8], "rebuilt", 1)`, ``, "TestLostTwice"},

	{"vouch for a set that lacks users", "upkeep/vouch.lua", `if users >= tonumber(ARGV[3]) then`, `if true then`, "register"},
	{"vouch for nothing", "upkeep/vouch.lua", `call("HSET", KEYS[3], ARGV[2], pack(">c8I6", mark, users))`, ``, "register"},
	{"vouch without a nonce", "upkeep/vouch.lua", `pack(">c8I6", mark, users)`, `pack(">c8I6", "\0\0\0\0\0\0\0\0", users)`, "register"},
	{"vouch for no users", "upkeep/vouch.lua", `pack(">c8I6", mark, users)`, `pack(">c8I6", mark, 0)`, "register"},
	{"vouch on a full server only", "upkeep/vouch.lua", ` flags=allow-oom`, ``, "TestFullMemory"},

	{"clear what another restores", "upkeep/clear.lua", `if other and other ~= ARGV[1] then return 1 end`, ``, "TestClear"},
	{"clear what sells", "upkeep/clear.lua", `if call("EXISTS", KEYS[1]) == 1 then return 2 end`, ``, "TestClear"},
	{"clear stock", "upkeep/clear.lua", `stored > 0 and`, `false and`, "TestClear"},
	{"clear nothing", "upkeep/clear.lua", `call("DEL", unpack(KEYS, 4))`, ``, "TestClear"},
	{"keep the counts of users", "upkeep/clear.lua", `call("DEL", unpack(KEYS, 4))`, `call("DEL", unpack(KEYS, 4, 8))`, "TestClear"},
	{"take over from oneself", "upkeep/clear.lua", ` and begun ~= ARGV[1]`, ``, "TestClearByAStalePlan"},
	{"nothing is relayed after a restore", "upkeep/clear.lua", `call("HDEL", KEYS[2], "relayed")`, ``, "TestClear"},
	{"a restorer for ever", "upkeep/clear.lua", `call("SET", KEYS[3], ARGV[1], "PX", ARGV[2])`, `call("SET", KEYS[3], ARGV[1])`, "TestClear"},

	{"refill what another restores", "upkeep/refill.lua", `if call("HMGET", KEYS[2], "restoring")[1] ~= ARGV[1] then return 1 end`, ``, "TestRefill"},
	{"refill what sells", "upkeep/refill.lua", `return call("EXISTS", KEYS[1]) == 1 and 2 or 0`, `return 0`, "TestRefillAfterAVetting"},
	{"a restorer falls silent", "upkeep/refill.lua", `call("SET", KEYS[3], ARGV[1], "PX", ARGV[2])`, ``, "TestRefill"},
	{"no deadlines after a restore", "upkeep/refill.lua", `write("ZADD", 5)`, `at = at + 2 * unpacked(">I2", ARGV[5], 1)`, "TestRefill"},
	{"no ends of retention after a restore", "upkeep/refill.lua", `write("ZADD", 6)`, `at = at + 2 * unpacked(">I2", ARGV[5], 3)`, "TestRefill"},
	{"no counts of users of the last pool", "upkeep/refill.lua", `for k = 7, #KEYS do`, `for k = 7, #KEYS - 1 do`, "TestRefill"},
	{"the same pairs again", "upkeep/refill.lua", `  at = at + n
`, `  if k < 8 then at = at + n end
`, "TestRefill"},
	{"no events of a restore", "upkeep/refill.lua", `if ARGV[4] ~= "" then call("XADD", KEYS[4], "*", "e", ARGV[4]) end`, ``, "TestRefill"},
	{"whole with the first part", "upkeep/refill.lua", `if ARGV[3] == "1" then`, `if true then`, "TestRefill"},
	{"never whole", "upkeep/refill.lua", `if ARGV[3] == "1" then`, `if false then`, "TestRefill"},
}
