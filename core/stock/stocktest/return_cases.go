package stocktest

import (
	"sluice/core/event"
	"sluice/core/stock"
)

var returnCases = group{
	"sold units come back": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.deduct(cell, 1, "a", 5), stock.VerdictOK)
		o := h.giveBack(cell, 1, "refund", 2)
		h.wantRecord(o, stock.VerdictOK, stock.StateReturned)
		h.wantUnits(cell, 6, 0, 3)
		if got := h.record(o.Reservation.ID); got != o.Reservation || got.Quantity != 2 || got.User != 1 || got.DeadlineMS != 0 {
			h.Fatalf("record %+v, answered %+v", got, o.Reservation)
		}
		events := h.events(cell)
		if last := events[len(events)-1]; last.Kind != event.KindReturn || last.Change != (event.Change{Reason: "did not fit"}) {
			h.Fatalf("last event %+v", last)
		}
		h.want(h.reserve(cell, 2, "b", 6), stock.VerdictOK) // they are sold again
	},
	"again is replayed, with another quantity refused": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.deduct(cell, 1, "a", 5), stock.VerdictOK)
		first := h.giveBack(cell, 1, "refund", 2)
		again := h.giveBack(cell, 1, "refund", 2)
		h.want(again, stock.VerdictReplayed)
		if again.Reservation != first.Reservation {
			h.Fatalf("replayed %+v, first %+v", again.Reservation, first.Reservation)
		}
		h.want(h.giveBack(cell, 1, "refund", 3), stock.VerdictMismatch)
		h.wantUnits(cell, 6, 0, 3)
	},
	"never more than is sold": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.deduct(cell, 1, "a", 3), stock.VerdictOK)
		h.held(cell, 1, "b", 2)
		h.want(h.giveBack(cell, 1, "all", 4), stock.VerdictWrongState)
		h.want(h.giveBack(cell, 1, "some", 2), stock.VerdictOK)
		h.want(h.giveBack(cell, 1, "more", 2), stock.VerdictWrongState)
		h.want(h.giveBack(cell, 1, "rest", 1), stock.VerdictOK)
		h.wantUnits(cell, 7, 2, 0)
	},
	"the user's count falls, at most to 0": func(h *harness) {
		cell := h.load(20, stock.Settings{})
		h.want(h.deduct(cell, 1, "early", 5), stock.VerdictOK) // before there was a limit
		h.set(cell, "limit", stock.FieldLimit, stock.Settings{Limit: 3})
		h.want(h.deduct(cell, 1, "a", 3), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictLimitReached)
		h.want(h.giveBack(cell, 1, "one", 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "b", 2), stock.VerdictLimitReached)
		r := h.held(cell, 1, "c", 1)
		h.want(h.release(r, 0), stock.VerdictOK)
		h.want(h.giveBack(cell, 1, "many", 5), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "d", 4), stock.VerdictLimitReached)
		h.want(h.reserve(cell, 1, "d", 3), stock.VerdictOK)
		h.want(h.giveBack(cell, 2, "other", 1), stock.VerdictOK) // of whom nothing is counted
		h.wantUnits(cell, 16, 3, 1)
	},
	"a vector of returns": func(h *harness) {
		cells := h.neighbours(2)
		for _, cell := range cells {
			h.loadCell(cell, 9, stock.Settings{Limit: 9})
			h.want(h.deduct(cell, 1, "a", 3), stock.VerdictOK)
		}
		v := h.do(stock.OpReturn, h.comesBack(cells[0], 1, "a", 2), h.comesBack(cells[1], 1, "a", 3), h.comesBack(cells[0], 1, "a", 2),
			h.comesBack(cells[0], 1, "b", 2), h.comesBack(cells[0], 1, "c", 1), h.comesBack(cells[1], 2, "a", 1))
		h.wantAll(v, stock.VerdictOK, stock.VerdictOK, stock.VerdictReplayed, stock.VerdictWrongState, stock.VerdictOK, stock.VerdictWrongState)
		h.wantUnits(cells[0], 9, 0, 0)
		h.wantUnits(cells[1], 9, 0, 0)
		for _, cell := range cells {
			h.want(h.reserve(cell, 1, "b", 9), stock.VerdictOK)
		}
	},
	"a return is no reservation to settle": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.deduct(cell, 1, "a", 3), stock.VerdictOK)
		o := h.giveBack(cell, 1, "refund", 2)
		for _, settle := range h.settles() {
			h.wantRecord(settle(o.Reservation, 0), stock.VerdictWrongState, stock.StateReturned)
		}
		h.wantUnits(cell, 8, 0, 1)
	},
	"to a frozen or closed cell, not to one that is shut or not there": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.deduct(cell, 1, "a", 3), stock.VerdictOK)
		h.set(cell, "stop", stock.FieldFrozen|stock.FieldClosesAt, stock.Settings{Frozen: true, ClosesAtMS: 1})
		h.want(h.giveBack(cell, 1, "b", 1), stock.VerdictOK)
		h.want(h.giveBack(newCell(), 1, "b", 1), stock.VerdictNotLoaded)

		broken := newCell()
		h.want(h.adjust(broken, "load", stock.Adjustment{Create: true, Delta: 9, Settings: stock.Settings{Hold: hold}}), stock.VerdictOK)
		h.want(h.deduct(broken, 1, "a", 3), stock.VerdictOK)
		h.Corrupt(h.test, broken, 1, 0)
		h.want(h.giveBack(broken, 1, "b", 1), stock.VerdictBreached)
		if s := h.state(broken); !s.Breached || s.Sold != 3 {
			h.Fatalf("cell %+v", s)
		}
	},
	"a full outbox takes no return": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.deduct(cell, 1, "a", 3), stock.VerdictOK)
		full := h.with(Options{OutboxEntriesMax: 1})
		full.want(full.giveBack(cell, 1, "b", 1), stock.VerdictBackpressure)
		h.wantUnits(cell, 6, 0, 3)
		h.want(h.giveBack(cell, 1, "b", 1), stock.VerdictOK)
		full.want(full.giveBack(cell, 1, "b", 1), stock.VerdictReplayed)
	},
}
