package stocktest

import "sluice/core/stock"

// forUsers makes a cell of a sale that demands a registration. The sale has the number of its SKU, so that each case has one of
// its own.
func (h *harness) forUsers(units int64, s stock.Settings) stock.Cell {
	h.Helper()
	cell := newCell()
	cell.Pool = uint32(cell.SKU)
	s.RegisteredOnly = true
	h.loadCell(cell, units, s)
	h.vouch(cell, 0)
	return cell
}

var registerCases = group{
	"who is not registered takes nothing": func(h *harness) {
		cell := h.forUsers(9, stock.Settings{Limit: 3})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictNotRegistered)
		h.want(h.deduct(cell, 1, "a", 1), stock.VerdictNotRegistered)
		if n := h.register(cell, 2, 3, 2); n != 2 {
			h.Fatalf("%d users are new, want 2", n)
		}
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictNotRegistered)
		h.want(h.reserve(cell, 2, "a", 1), stock.VerdictOK)
		h.want(h.deduct(cell, 3, "a", 1), stock.VerdictOK)
		if n := h.register(cell, 1, 2); n != 1 {
			h.Fatalf("%d users are new, want 1", n)
		}
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictOK)
		h.wantUnits(cell, 6, 2, 1)
	},
	"a cell that demands nothing asks nobody": func(h *harness) {
		cell := newCell()
		cell.Pool = uint32(cell.SKU)
		h.loadCell(cell, 2, stock.Settings{ExtendMax: hold})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictOK)
	},
	"a registration is for one sale": func(h *harness) {
		cells := h.neighbours(4)[1:] // of three sales, in one partition
		for i := range cells {
			h.loadCell(cells[i], 9, stock.Settings{RegisteredOnly: i != 1})
			h.vouch(cells[i], 0)
			h.register(cells[i], int64(i+1))
		}
		var requests []stock.Request
		for user := range int64(3) {
			for _, cell := range cells {
				requests = append(requests, h.take(stock.OpReserve, cell, user+1, "a", 1))
			}
		}
		no, ok := stock.VerdictNotRegistered, stock.VerdictOK
		h.wantAll(h.do(stock.OpReserve, requests...), ok, ok, no, no, ok, no, no, ok, ok)
	},
	"whoever took before is answered again": func(h *harness) {
		cell := h.forUsers(9, stock.Settings{})
		h.register(cell, 2)
		h.held(cell, 2, "a", 1)
		r := h.take(stock.OpReserve, cell, 2, "a", 1)
		other := h.take(stock.OpReserve, cell, 1, "a", 1)
		h.wantAll(h.do(stock.OpReserve, r, other, r), stock.VerdictReplayed, stock.VerdictNotRegistered, stock.VerdictReplayed)
	},
	"whether a user may ask comes first": func(h *harness) {
		for verdict, s := range map[stock.Verdict]stock.Settings{
			stock.VerdictFrozen: {Frozen: true}, stock.VerdictNotOpen: {OpensAtMS: stock.TimeMaxMS}, stock.VerdictClosed: {ClosesAtMS: 1},
		} {
			cell := h.forUsers(9, s)
			h.want(h.reserve(cell, 1, "a", 1), stock.VerdictNotRegistered)
			h.register(cell, 1)
			h.want(h.reserve(cell, 1, "a", 1), verdict)
		}
		cell := h.forUsers(9, stock.Settings{})
		ahead := h.take(stock.OpReserve, cell, 1, "a", 1)
		ahead.Fence = stock.Position{Epoch: 1, Seq: 9}
		h.want(h.one(stock.OpReserve, ahead), stock.VerdictNotRegistered)
		if h.state(cell).Fenced {
			h.Fatal("a request of nobody fenced the cell")
		}
		h.register(cell, 1)
		h.want(h.one(stock.OpReserve, ahead), stock.VerdictFenced)
	},
	"a change keeps the demand": func(h *harness) {
		cell := h.forUsers(9, stock.Settings{ExtendMax: hold})
		h.set(cell, "all", 255, stock.Settings{Hold: hold, Limit: 1})
		if got := h.state(cell).Settings; got != (stock.Settings{Hold: hold, Limit: 1, RegisteredOnly: true}) {
			h.Fatalf("settings %+v", got)
		}
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictNotRegistered)
		plain := h.load(9, stock.Settings{})
		h.set(plain, "all", 255, stock.Settings{Hold: hold, RegisteredOnly: true})
		if h.state(plain).RegisteredOnly {
			h.Fatal("a change made a cell demand registrations")
		}
	},
	"who may have been lost is not refused for good": func(h *harness) {
		cell := newCell()
		cell.Pool = uint32(cell.SKU)
		h.loadCell(cell, 9, stock.Settings{RegisteredOnly: true})
		h.register(cell, 1, 2)
		r := []stock.Request{h.take(stock.OpReserve, cell, 1, "a", 1), h.take(stock.OpReserve, cell, 3, "a", 1)}
		h.wantAll(h.do(stock.OpReserve, r...), stock.VerdictOK, stock.VerdictUsersMissing)
		h.want(h.deduct(cell, 3, "a", 1), stock.VerdictUsersMissing)
		if n := h.Vouch(h.test, cell, 3); n != 2 {
			h.Fatalf("%d users, want 2", n)
		}
		h.want(h.reserve(cell, 3, "a", 1), stock.VerdictUsersMissing)
		h.vouch(cell, 2)
		h.wantAll(h.do(stock.OpReserve, r...), stock.VerdictReplayed, stock.VerdictNotRegistered)
		h.LoseUser(h.test, cell, 2)
		h.want(h.reserve(cell, 2, "a", 1), stock.VerdictUsersMissing)
		h.register(cell, 2)
		h.want(h.reserve(cell, 2, "a", 1), stock.VerdictOK)
		h.want(h.reserve(cell, 3, "a", 1), stock.VerdictNotRegistered)
	},
	"another sale's set is another": func(h *harness) {
		cells := h.neighbours(3)[1:]
		for i := range cells {
			h.loadCell(cells[i], 9, stock.Settings{RegisteredOnly: true})
			h.register(cells[i], 1)
		}
		h.vouch(cells[1], 1)
		r := []stock.Request{h.take(stock.OpReserve, cells[0], 2, "a", 1), h.take(stock.OpReserve, cells[1], 2, "a", 1)}
		h.wantAll(h.do(stock.OpReserve, r...), stock.VerdictUsersMissing, stock.VerdictNotRegistered)
	},
	"what would refuse anybody is said of those who may have been lost": func(h *harness) {
		for verdict, s := range map[stock.Verdict]stock.Settings{
			stock.VerdictFrozen: {Frozen: true}, stock.VerdictNotOpen: {OpensAtMS: stock.TimeMaxMS}, stock.VerdictClosed: {ClosesAtMS: 1},
		} {
			cell := newCell()
			cell.Pool, s.RegisteredOnly = uint32(cell.SKU), true
			h.loadCell(cell, 9, s)
			h.want(h.reserve(cell, 1, "a", 1), verdict)
		}
		cell := newCell()
		cell.Pool = uint32(cell.SKU)
		h.loadCell(cell, 1, stock.Settings{RegisteredOnly: true, Limit: 1})
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictUsersMissing)
	},
	"what is held is settled by anybody whose it is": func(h *harness) {
		cell := h.forUsers(9, stock.Settings{ExtendMax: hold})
		h.register(cell, 1)
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.want(h.extend(a, 0, a.DeadlineMS+1), stock.VerdictOK)
		h.want(h.confirm(a, 0), stock.VerdictOK)
		h.want(h.release(b, 1), stock.VerdictOK)
		h.want(h.giveBack(cell, 9, "c", 1), stock.VerdictOK)
		h.wantUnits(cell, 9, 0, 0)
	},
}
