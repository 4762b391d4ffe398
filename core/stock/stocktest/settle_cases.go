package stocktest

import (
	"sluice/core/event"
	"sluice/core/stock"
)

var settleCases = group{
	"confirm moves held to sold": func(h *harness) {
		cell := h.load(5, stock.Settings{})
		r := h.held(cell, 1, "a", 2)
		o := h.confirm(r, 0)
		h.wantRecord(o, stock.VerdictOK, stock.StateConfirmed)
		h.wantUnits(cell, 3, 0, 2)
		h.wantLast(cell, event.KindConfirm, r)
	},
	"release moves held to avail": func(h *harness) {
		cell := h.load(5, stock.Settings{})
		r := h.held(cell, 1, "a", 2)
		o := h.release(r, 1)
		h.wantRecord(o, stock.VerdictOK, stock.StateReleased)
		h.wantUnits(cell, 5, 0, 0)
		h.wantLast(cell, event.KindRelease, r)
	},
	"the shopper and a service may settle, others not": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		for i, settle := range h.settles() {
			for _, user := range []int64{0, 1} {
				r := h.held(cell, 1, string(rune('a'+i))+string(rune('a'+user)), 1)
				h.want(settle(r, 2), stock.VerdictWrongUser)
				h.want(settle(r, user), stock.VerdictOK)
				h.want(settle(r, 2), stock.VerdictWrongUser) // also when there is nothing left to settle
			}
		}
	},
	"an unknown reservation": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := stock.Reservation{ID: h.take(stock.OpReserve, cell, 1, "never", 1).ID, Cell: cell}
		for _, settle := range h.settles() {
			h.want(settle(r, 1), stock.VerdictUnknownReservation)
		}
	},
	"again is replayed with the record of now": func(h *harness) {
		cell := h.load(9, stock.Settings{Limit: 9})
		a, b := h.held(cell, 1, "a", 2), h.held(cell, 1, "b", 3)
		first := h.confirm(a, 0)
		again := h.confirm(a, 1)
		h.wantRecord(again, stock.VerdictReplayed, stock.StateConfirmed)
		if again.Reservation != first.Reservation || h.record(a.ID) != first.Reservation {
			h.Fatalf("replayed %+v, first %+v, stored %+v", again, first, h.record(a.ID))
		}
		h.want(h.release(b, 0), stock.VerdictOK)
		h.wantRecord(h.release(b, 0), stock.VerdictReplayed, stock.StateReleased)
		h.wantUnits(cell, 7, 0, 2)
		h.want(h.reserve(cell, 1, "c", 8), stock.VerdictLimitReached)
		h.want(h.reserve(cell, 1, "c", 7), stock.VerdictOK)
	},
	"a settled reservation does not settle otherwise": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.want(h.confirm(a, 0), stock.VerdictOK)
		h.wantRecord(h.release(a, 0), stock.VerdictWrongState, stock.StateConfirmed)
		h.want(h.release(b, 0), stock.VerdictOK)
		h.wantRecord(h.confirm(b, 0), stock.VerdictWrongState, stock.StateReleased)
		h.wantUnits(cell, 8, 0, 1)
	},
	"a deduction is confirmed from the start": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		d := h.deduct(cell, 1, "a", 1).Reservation
		h.wantRecord(h.confirm(d, 0), stock.VerdictReplayed, stock.StateConfirmed)
		h.wantRecord(h.release(d, 0), stock.VerdictWrongState, stock.StateConfirmed)
		h.wantUnits(cell, 8, 0, 1)
	},
	"from its deadline on a reservation cannot be settled": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: moments})
		r := h.held(cell, 1, "a", 1)
		h.waitUntil(r.DeadlineMS)
		for _, settle := range h.settles() {
			o := settle(r, 1)
			h.want(o, stock.VerdictWrongState)
			if s := o.Reservation.StateAt(h.now()); s != stock.StateExpired {
				h.Fatalf("state %v", s)
			}
		}
		h.expire(cell)
		for _, settle := range h.settles() {
			h.wantRecord(settle(r, 1), stock.VerdictWrongState, stock.StateExpired)
		}
		h.wantUnits(cell, 9, 0, 0)
	},
	"a frozen or closed cell still settles": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.set(cell, "stop", stock.FieldFrozen|stock.FieldClosesAt, stock.Settings{Frozen: true, ClosesAtMS: 1})
		h.want(h.confirm(a, 0), stock.VerdictOK)
		h.want(h.release(b, 0), stock.VerdictOK)
		h.wantUnits(cell, 8, 0, 1)
	},
	"the record of an adjustment is no reservation to settle": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		o := h.adjust(cell, "more", stock.Adjustment{Delta: 1})
		for _, settle := range h.settles() {
			h.wantRecord(settle(o.Reservation, 0), stock.VerdictWrongState, stock.StateAdjusted)
		}
		h.wantUnits(cell, 10, 0, 0)
	},
}

// settles are the two ways to settle a reservation on request.
func (h *harness) settles() []func(r stock.Reservation, user int64) stock.Outcome {
	return []func(stock.Reservation, int64) stock.Outcome{h.confirm, h.release}
}

// wantLast checks that the last event of a cell settled a reservation, and says all about it.
func (h *harness) wantLast(cell stock.Cell, kind event.Kind, r stock.Reservation) {
	h.Helper()
	events, state := h.events(cell), h.state(cell)
	want := event.Event{
		Kind: kind, Reservation: r.ID, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint,
		Cell: cell, Position: state.Position, Avail: state.Avail, Held: state.Held, Sold: state.Sold, DeadlineMS: r.DeadlineMS,
	}
	if got := events[len(events)-1]; got != want {
		h.Fatalf("last event %+v, want %+v", got, want)
	}
}
