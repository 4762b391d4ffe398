package stocktest

import (
	"time"

	"sluice/core/event"
	"sluice/core/stock"
)

// hours is a number of hours in ms.
func hours(n int64) int64 { return n * time.Hour.Milliseconds() }

var extendCases = group{
	"a deadline moves, and nothing else": func(h *harness) {
		cell := h.load(5, stock.Settings{Limit: 4, ExtendMax: 3 * time.Hour})
		r := h.held(cell, 1, "a", 2)
		o := h.extend(r, 0, r.DeadlineMS+hours(1))
		h.want(o, stock.VerdictOK)
		want := r
		want.DeadlineMS, want.ExtendedMS, want.Seq = r.DeadlineMS+hours(1), hours(1), r.Seq+1
		if o.Reservation != want || h.record(r.ID) != want {
			h.Fatalf("answered %+v, stored %+v, want %+v", o.Reservation, h.record(r.ID), want)
		}
		h.wantUnits(cell, 3, 2, 0)
		h.wantLast(cell, event.KindExtend, want)
		h.want(h.reserve(cell, 1, "b", 3), stock.VerdictLimitReached) // it counts as before
	},
	"what was extended is settled as ever": func(h *harness) {
		cell := h.load(9, stock.Settings{Limit: 4, ExtendMax: time.Hour})
		a, b := h.held(cell, 1, "a", 2), h.held(cell, 1, "b", 2)
		for _, r := range []stock.Reservation{a, b} {
			h.want(h.extend(r, 1, r.DeadlineMS+1), stock.VerdictOK)
		}
		h.wantRecord(h.confirm(a, 0), stock.VerdictOK, stock.StateConfirmed)
		h.wantRecord(h.release(b, 1), stock.VerdictOK, stock.StateReleased)
		for _, r := range []stock.Reservation{a, b} {
			if got := h.record(r.ID); got.DeadlineMS != r.DeadlineMS+1 || got.ExtendedMS != 0 {
				h.Fatalf("record %+v after its end", got)
			}
		}
		h.wantUnits(cell, 7, 0, 2)
		h.want(h.reserve(cell, 1, "c", 2), stock.VerdictOK)
	},
	"the bound counts from the first deadline": func(h *harness) {
		cell := h.load(5, stock.Settings{ExtendMax: 2 * time.Hour})
		r := h.held(cell, 1, "a", 2)
		for i, step := range []struct {
			ask, get int64
			verdict  stock.Verdict
		}{
			{hours(1), hours(1), stock.VerdictOK},
			{hours(1), hours(1), stock.VerdictReplayed},
			{-hours(9), hours(1), stock.VerdictReplayed},
			{hours(1) + 1, hours(1) + 1, stock.VerdictOK},
			{hours(7), hours(2), stock.VerdictOK}, // no further than the bound
			{hours(7), hours(2), stock.VerdictReplayed},
		} {
			o := h.extend(r, 0, r.DeadlineMS+step.ask)
			if o.Verdict != step.verdict || o.Reservation.DeadlineMS != r.DeadlineMS+step.get {
				h.Fatalf("step %d: %v, %d ms after the first deadline", i, o.Verdict, o.Reservation.DeadlineMS-r.DeadlineMS)
			}
		}
		h.set(cell, "less", stock.FieldExtendMax, stock.Settings{ExtendMax: time.Hour})
		h.want(h.extend(r, 0, r.DeadlineMS+hours(3)), stock.VerdictReplayed)
		h.set(cell, "more", stock.FieldExtendMax, stock.Settings{ExtendMax: 3 * time.Hour})
		h.want(h.extend(r, 0, r.DeadlineMS+hours(3)), stock.VerdictOK)
		if n := len(h.events(cell)); n != 8 {
			h.Fatalf("%d events, want the creation, a reserve, two settings and four extensions", n)
		}
	},
	"a cell without a bound extends nothing": func(h *harness) {
		r := h.held(h.load(5, stock.Settings{}), 1, "a", 2)
		h.want(h.extend(r, 0, r.DeadlineMS+1), stock.VerdictLimitReached)
		h.want(h.extend(r, 0, r.DeadlineMS), stock.VerdictReplayed)
		if h.record(r.ID) != r {
			h.Fatalf("record %+v, before %+v", h.record(r.ID), r)
		}
	},
	"only what is held, of whom it is": func(h *harness) {
		cell := h.load(9, stock.Settings{ExtendMax: time.Hour})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.want(h.extend(a, 2, a.DeadlineMS+1), stock.VerdictWrongUser)
		h.want(h.confirm(a, 0), stock.VerdictOK)
		h.want(h.release(b, 0), stock.VerdictOK)
		h.wantRecord(h.extend(a, 0, a.DeadlineMS+1), stock.VerdictWrongState, stock.StateConfirmed)
		h.wantRecord(h.extend(b, 0, a.DeadlineMS+1), stock.VerdictWrongState, stock.StateReleased)
		d := h.deduct(cell, 1, "c", 1).Reservation
		h.wantRecord(h.extend(d, 0, a.DeadlineMS+1), stock.VerdictWrongState, stock.StateConfirmed)
		none := stock.Reservation{ID: h.take(stock.OpReserve, cell, 1, "never", 1).ID}
		h.want(h.extend(none, 0, a.DeadlineMS+1), stock.VerdictUnknownReservation)
	},
	"from its deadline on nothing is extended": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: moments, ExtendMax: time.Hour})
		r := h.held(cell, 1, "a", 1)
		h.waitUntil(r.DeadlineMS)
		h.want(h.extend(r, 0, r.DeadlineMS+1), stock.VerdictWrongState)
		h.expire(cell)
		h.wantRecord(h.extend(r, 0, r.DeadlineMS+hours(1)), stock.VerdictWrongState, stock.StateExpired)
		h.wantUnits(cell, 9, 0, 0)
	},
	"an extended hold expires at its new deadline": func(h *harness) {
		h.onTime(func() bool {
			cell := h.load(9, stock.Settings{Hold: moments, ExtendMax: time.Hour, Limit: 3})
			v := h.do(stock.OpReserve, h.take(stock.OpReserve, cell, 1, "a", 1), h.take(stock.OpReserve, cell, 2, "a", 1))
			a, b := v.Outcomes[0].Reservation, v.Outcomes[1].Reservation
			o := h.extend(a, 0, a.DeadlineMS+moments.Milliseconds())
			if o.Verdict != stock.VerdictOK {
				return false
			}
			h.waitUntil(b.DeadlineMS)
			h.expire(cell)
			if h.now() >= o.Reservation.DeadlineMS {
				return false
			}
			if h.record(a.ID) != o.Reservation || h.record(b.ID).State != stock.StateExpired {
				h.Fatalf("after the first deadline: %+v, %+v", h.record(a.ID), h.record(b.ID))
			}
			h.waitUntil(o.Reservation.DeadlineMS)
			h.expire(cell)
			if got := h.record(a.ID); got.State != stock.StateExpired || got.DeadlineMS != o.Reservation.DeadlineMS || got.ExtendedMS != 0 {
				h.Fatalf("after the new deadline: %+v", got)
			}
			h.wantUnits(cell, 9, 0, 0)
			return true
		})
	},
	"a vector of extensions": func(h *harness) {
		cells := h.neighbours(2)
		h.loadCell(cells[0], 9, stock.Settings{ExtendMax: 2 * time.Hour})
		h.loadCell(cells[1], 9, stock.Settings{ExtendMax: time.Hour})
		a, b := h.held(cells[0], 1, "a", 1), h.held(cells[1], 1, "b", 1)
		ask := func(r stock.Reservation, byMS int64) stock.Request {
			return stock.Request{ID: r.ID, DeadlineMS: a.DeadlineMS + byMS}
		}
		v := h.do(stock.OpExtend, ask(a, hours(1)), ask(b, hours(1)/2), ask(a, hours(1)), ask(a, hours(2)))
		h.wantAll(v, stock.VerdictOK, stock.VerdictOK, stock.VerdictReplayed, stock.VerdictOK)
		if got := h.record(a.ID); got.ExtendedMS != hours(2) || got.Seq != a.Seq+2 {
			h.Fatalf("record %+v", got)
		}
		if got := h.record(b.ID); got.DeadlineMS != a.DeadlineMS+hours(1)/2 {
			h.Fatalf("record %+v", got)
		}
	},
	"a frozen or closed cell still extends, a shut one does not": func(h *harness) {
		cell := h.load(9, stock.Settings{ExtendMax: time.Hour})
		r := h.held(cell, 1, "a", 1)
		h.set(cell, "stop", stock.FieldFrozen|stock.FieldClosesAt, stock.Settings{Frozen: true, ClosesAtMS: 1})
		h.want(h.extend(r, 0, r.DeadlineMS+1), stock.VerdictOK)

		broken := newCell()
		h.want(h.adjust(broken, "load", stock.Adjustment{Create: true, Delta: 9, Settings: stock.Settings{Hold: hold, ExtendMax: hold}}), stock.VerdictOK)
		r = h.held(broken, 1, "a", 1)
		h.Corrupt(h.test, broken, 1, 0)
		h.want(h.extend(r, 0, r.DeadlineMS+1), stock.VerdictBreached)
		h.want(h.extend(r, 0, r.DeadlineMS), stock.VerdictReplayed)
		if !h.state(broken).Breached || h.record(r.ID) != r {
			h.Fatalf("cell %+v, record %+v", h.state(broken), h.record(r.ID))
		}
	},
	"a full outbox takes no extension": func(h *harness) {
		cell := h.load(9, stock.Settings{ExtendMax: time.Hour})
		r := h.held(cell, 1, "a", 1)
		full := h.with(Options{OutboxEntriesMax: 1})
		full.want(full.extend(r, 0, r.DeadlineMS+1), stock.VerdictBackpressure)
		full.want(full.extend(r, 0, r.DeadlineMS), stock.VerdictReplayed)
		if h.record(r.ID) != r {
			h.Fatalf("record %+v, before %+v", h.record(r.ID), r)
		}
	},
}
