package stocktest

import (
	"context"

	"sluice/core/event"
	"sluice/core/stock"
)

var takeCases = group{
	"reserve moves avail to held": func(h *harness) {
		cell := h.load(5, stock.Settings{})
		before := h.now()
		o := h.reserve(cell, 1, "a", 2)
		h.wantRecord(o, stock.VerdictOK, stock.StateHeld)
		h.wantUnits(cell, 3, 2, 0)
		r := o.Reservation
		if r.User != 1 || r.Quantity != 2 || r.Cell != cell || r.Counted || r.Seq != 2 ||
			r.Fingerprint != stock.FingerprintOf(2) || r.DeadlineMS < before+hold.Milliseconds() {
			h.Fatalf("record %+v", r)
		}
		if stored := h.record(r.ID); stored != r {
			h.Fatalf("stored %+v, answered %+v", stored, r)
		}
	},
	"deduct moves avail to sold": func(h *harness) {
		cell := h.load(5, stock.Settings{})
		o := h.deduct(cell, 1, "a", 2)
		h.wantRecord(o, stock.VerdictOK, stock.StateConfirmed)
		h.wantUnits(cell, 3, 0, 2)
		if r := o.Reservation; r.DeadlineMS != 0 || h.record(r.ID) != r {
			h.Fatalf("record %+v, stored %+v", r, h.record(r.ID))
		}
	},
	"events tell kind, user, quantity and balances": func(h *harness) {
		cell := h.load(5, stock.Settings{})
		r := h.held(cell, 3, "a", 2)
		h.deduct(cell, 4, "b", 1)
		events := h.events(cell)
		if len(events) != 3 {
			h.Fatalf("%d events, want 3", len(events))
		}
		want := event.Event{
			Kind: event.KindReserve, Reservation: r.ID, User: 3, Quantity: 2, Fingerprint: stock.FingerprintOf(2),
			Cell: cell, Position: stock.Position{Epoch: 1, Seq: 2}, Avail: 3, Held: 2, DeadlineMS: r.DeadlineMS,
		}
		if events[1] != want {
			h.Fatalf("event %+v, want %+v", events[1], want)
		}
		if e := events[2]; e.Kind != event.KindDeduct || e.User != 4 || e.Avail != 2 || e.Held != 2 || e.Sold != 1 {
			h.Fatalf("event %+v", e)
		}
	},
	"the last unit can be taken, one more not": func(h *harness) {
		for _, take := range h.takes() {
			cell := h.load(3, stock.Settings{})
			h.want(take(cell, 1, "a", 4), stock.VerdictSoldOut)
			h.want(take(cell, 1, "b", 3), stock.VerdictOK)
			h.want(take(cell, 2, "c", 1), stock.VerdictSoldOut)
		}
	},
	"a refusal leaves no trace": func(h *harness) {
		cell := h.load(3, stock.Settings{Limit: 2})
		before := h.state(cell)
		request := h.take(stock.OpReserve, cell, 1, "a", 3)
		v := h.do(stock.OpReserve, request)
		h.wantAll(v, stock.VerdictLimitReached)
		if v.Entry.ID != "" || len(v.Entry.Data) != 0 || h.state(cell) != before {
			h.Fatalf("entry %+v, cell %+v, before %+v", v.Entry, h.state(cell), before)
		}
		if r := h.record(request.ID); r.State != stock.StateNone {
			h.Fatalf("record %+v", r)
		}
		if n := len(h.events(cell)); n != 1 {
			h.Fatalf("%d events", n)
		}
	},
	"a refused key may be used again": func(h *harness) {
		for _, take := range h.takes() {
			cell := h.load(0, stock.Settings{})
			h.want(take(cell, 1, "a", 1), stock.VerdictSoldOut)
			h.want(h.adjust(cell, "more", stock.Adjustment{Delta: 1}), stock.VerdictOK)
			h.want(take(cell, 1, "a", 1), stock.VerdictOK)
		}
	},
	"a cell that is not there": func(h *harness) {
		for _, take := range h.takes() {
			cell := newCell()
			h.want(take(cell, 1, "a", 1), stock.VerdictNotLoaded)
			if s := h.state(cell); s != (stock.CellState{Cell: cell}) {
				h.Fatalf("state %+v", s)
			}
		}
		cell := newCell()
		v := h.do(stock.OpReserve, h.take(stock.OpReserve, cell, 1, "a", 1))
		if len(v.Cells) != 1 || v.Cells[0] != (stock.CellState{Cell: cell}) {
			h.Fatalf("cells %+v, want the one that is not there", v.Cells)
		}
	},
	"the limit counts held and sold": func(h *harness) {
		cell := h.load(100, stock.Settings{Limit: 3})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictOK)
		h.want(h.deduct(cell, 1, "b", 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "c", 2), stock.VerdictLimitReached)
		h.want(h.deduct(cell, 1, "d", 2), stock.VerdictLimitReached)
		h.want(h.reserve(cell, 1, "e", 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "f", 1), stock.VerdictLimitReached)
		h.want(h.reserve(cell, 2, "f", 3), stock.VerdictOK)
	},
	"the limit is the cell's own": func(h *harness) {
		a, b := h.load(9, stock.Settings{Limit: 1}), h.load(9, stock.Settings{Limit: 1})
		h.want(h.reserve(a, 1, "a", 1), stock.VerdictOK)
		h.want(h.reserve(b, 1, "a", 1), stock.VerdictOK)
		h.want(h.reserve(a, 1, "b", 1), stock.VerdictLimitReached)
	},
	"released and expired units leave the limit": func(h *harness) {
		cell := h.load(9, stock.Settings{Limit: 2})
		r := h.held(cell, 1, "a", 2)
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictLimitReached)
		h.want(h.release(r, 1), stock.VerdictOK)
		h.set(cell, "hold", stock.FieldHold, stock.Settings{Hold: moments})
		r = h.held(cell, 1, "b", 2)
		h.waitUntil(r.DeadlineMS)
		h.expire(cell)
		h.want(h.reserve(cell, 1, "c", 2), stock.VerdictOK)
	},
	"confirmed units stay in the limit": func(h *harness) {
		cell := h.load(9, stock.Settings{Limit: 2})
		r := h.held(cell, 1, "a", 2)
		h.want(h.confirm(r, 0), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictLimitReached)
		if r := h.record(r.ID); !r.Counted {
			h.Fatalf("record %+v does not count", r)
		}
	},
	"what was taken before there was a limit does not count": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		free := h.held(cell, 1, "a", 3)
		h.set(cell, "limit", stock.FieldLimit, stock.Settings{Limit: 2})
		counted := h.held(cell, 1, "b", 2)
		if free.Counted || !counted.Counted {
			h.Fatalf("counted: %v before, %v after", free.Counted, counted.Counted)
		}
		h.want(h.release(free, 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "c", 1), stock.VerdictLimitReached)
		h.want(h.release(counted, 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "d", 2), stock.VerdictOK)
	},
	"a limit that was lifted and set again still knows": func(h *harness) {
		cell := h.load(9, stock.Settings{Limit: 1})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictOK)
		h.set(cell, "lift", stock.FieldLimit, stock.Settings{})
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictOK)
		h.set(cell, "two", stock.FieldLimit, stock.Settings{Limit: 2})
		h.want(h.reserve(cell, 1, "c", 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "d", 1), stock.VerdictLimitReached)
	},
	"a limit lowered below what is owned": func(h *harness) {
		cell := h.load(9, stock.Settings{Limit: 3})
		r := h.held(cell, 1, "a", 3)
		h.set(cell, "lower", stock.FieldLimit, stock.Settings{Limit: 1})
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictLimitReached)
		h.want(h.release(r, 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictOK)
	},
	"the same request is replayed in any state": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: moments})
		r := h.held(cell, 1, "e", 1)
		h.waitUntil(r.DeadlineMS)
		h.expire(cell)
		h.wantRecord(h.reserve(cell, 1, "e", 1), stock.VerdictReplayed, stock.StateExpired)

		h.set(cell, "hold", stock.FieldHold, stock.Settings{Hold: hold})
		held := h.held(cell, 1, "a", 1)
		again := h.reserve(cell, 1, "a", 1)
		h.wantRecord(again, stock.VerdictReplayed, stock.StateHeld)
		if again.Reservation != held {
			h.Fatalf("replayed %+v, first %+v", again.Reservation, held)
		}
		h.want(h.confirm(held, 0), stock.VerdictOK)
		h.wantRecord(h.reserve(cell, 1, "a", 1), stock.VerdictReplayed, stock.StateConfirmed)
		h.want(h.release(h.held(cell, 1, "b", 1), 0), stock.VerdictOK)
		h.wantRecord(h.reserve(cell, 1, "b", 1), stock.VerdictReplayed, stock.StateReleased)
		h.want(h.deduct(cell, 1, "c", 1), stock.VerdictOK)
		h.wantRecord(h.deduct(cell, 1, "c", 1), stock.VerdictReplayed, stock.StateConfirmed)
		h.wantUnits(cell, 7, 0, 2)
	},
	"the same key with another quantity is a mismatch in any state": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := h.held(cell, 1, "a", 1)
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictMismatch)
		h.want(h.release(r, 1), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictMismatch)
		h.want(h.deduct(cell, 1, "a", 1), stock.VerdictOK) // another route is another request
		h.want(h.deduct(cell, 1, "a", 2), stock.VerdictMismatch)
		h.wantUnits(cell, 8, 0, 1)
	},
	"the same key of another user is another request": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictOK)
		h.want(h.reserve(cell, 2, "a", 2), stock.VerdictOK)
		h.wantUnits(cell, 6, 3, 0)
	},
	"a replay comes before every refusal": func(h *harness) {
		cell := h.load(2, stock.Settings{Limit: 2})
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictOK) // nothing is left, and the limit is reached
		h.set(cell, "stop", stock.FieldFrozen|stock.FieldClosesAt, stock.Settings{Frozen: true, ClosesAtMS: 1})
		h.wantRecord(h.reserve(cell, 1, "a", 2), stock.VerdictReplayed, stock.StateHeld)
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictMismatch)
		full := h.with(Options{OutboxEntriesMax: 1})
		full.wantRecord(full.reserve(cell, 1, "a", 2), stock.VerdictReplayed, stock.StateHeld)
	},
	"a full outbox refuses to take and nothing else": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		full := h.with(Options{OutboxEntriesMax: 1})
		for _, take := range full.takes() {
			h.want(take(cell, 1, "c", 1), stock.VerdictBackpressure)
		}
		full.want(full.confirm(a, 0), stock.VerdictOK)
		full.want(full.release(b, 0), stock.VerdictOK)
		full.want(full.adjust(cell, "more", stock.Adjustment{Delta: 1}), stock.VerdictOK)
		h.want(h.reserve(cell, 1, "c", 1), stock.VerdictOK)
		h.wantUnits(cell, 8, 1, 1)
	},
	"without a replica nothing is taken at the level replica": func(h *harness) {
		quick, plain := h.load(9, stock.Settings{Ack: stock.AckRedis}), h.load(9, stock.Settings{})
		safe := h.load(9, stock.Settings{Ack: stock.AckLog})
		r, settled := h.held(safe, 1, "a", 1), h.held(safe, 1, "b", 1)
		h.want(h.adjust(safe, "level", stock.Adjustment{
			Fields: stock.FieldAck, Settings: stock.Settings{Ack: stock.AckReplica},
		}), stock.VerdictOK)
		for _, take := range h.takes() {
			h.want(take(safe, 1, "c", 1), stock.VerdictReplicaMissing)
			h.want(take(plain, 1, "c", 1), stock.VerdictOK)
		}
		asking := h.take(stock.OpReserve, safe, 2, "a", 1)
		v := &stock.Vector{Op: stock.OpReserve, Partition: asking.ID.Partition(), Replicate: true, Requests: []stock.Request{asking}}
		h.store.Do(context.Background(), v)
		if v.Err != nil || v.Replicated {
			h.Fatalf("replicated %v, error %v", v.Replicated, v.Err)
		}
		h.want(v.Outcomes[0], stock.VerdictReplicaMissing)
		h.wantRecord(h.reserve(safe, 1, "a", 1), stock.VerdictReplayed, stock.StateHeld)
		h.want(h.confirm(settled, 0), stock.VerdictOK)
		h.want(h.release(r, 0), stock.VerdictOK)
		h.wantUnits(safe, 8, 0, 1)

		byDefault := h.with(Options{Ack: stock.AckReplica})
		byDefault.want(byDefault.reserve(plain, 1, "d", 1), stock.VerdictReplicaMissing)
		byDefault.want(byDefault.reserve(quick, 1, "d", 1), stock.VerdictOK)
	},
	"refusals come in their order": func(h *harness) {
		past := stock.Settings{Ack: stock.AckReplica, Frozen: true, OpensAtMS: h.now() + hold.Milliseconds(), ClosesAtMS: 1, Limit: 1}
		cell := h.load(0, past)
		full := h.with(Options{OutboxEntriesMax: 1})
		for i, step := range []struct {
			want   stock.Verdict
			mend   stock.Fields
			mended stock.Settings
		}{
			{want: stock.VerdictFrozen, mend: stock.FieldFrozen},
			{want: stock.VerdictNotOpen, mend: stock.FieldOpensAt},
			{want: stock.VerdictClosed, mend: stock.FieldClosesAt},
		} {
			for _, take := range full.takes() {
				h.want(take(cell, 1, "a", 2), step.want)
			}
			h.set(cell, string(rune('a'+i)), step.mend, step.mended)
		}
		h.want(full.reserve(cell, 1, "a", 2), stock.VerdictBackpressure)
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictReplicaMissing)
		h.set(cell, "ack", stock.FieldAck, stock.Settings{})
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictLimitReached)
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictSoldOut)
	},
	"large numbers": func(h *harness) {
		cell := h.load(stock.UnitsMax, stock.Settings{Limit: stock.QuantityMax})
		h.want(h.reserve(cell, 1<<63-1, "a", stock.QuantityMax), stock.VerdictOK)
		h.want(h.reserve(cell, 1<<63-1, "b", 1), stock.VerdictLimitReached)
		h.want(h.deduct(cell, 1<<53+1, "a", 1), stock.VerdictOK) // no double holds this user id
		h.wantUnits(cell, stock.UnitsMax-stock.QuantityMax-1, stock.QuantityMax, 1)
		if e := h.events(cell)[2]; e.User != 1<<53+1 {
			h.Fatalf("event of user %d", e.User)
		}
	},
}

// takes are the two ways to take units.
func (h *harness) takes() []func(cell stock.Cell, user int64, key string, quantity int64) stock.Outcome {
	return []func(stock.Cell, int64, string, int64) stock.Outcome{h.reserve, h.deduct}
}
