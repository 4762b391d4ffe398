package stocktest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/event"
	"sluice/core/stock"
)

// moments is long enough that a store still does a few calls in it, and short enough to wait for.
const moments = 30 * time.Millisecond

var timeCases = group{
	"a cell sells from its opening on": func(h *harness) {
		opens := h.now() + moments.Milliseconds()
		cell := h.load(9, stock.Settings{OpensAtMS: opens})
		for _, op := range []stock.Op{stock.OpReserve, stock.OpDeduct} {
			v := h.do(op, h.take(op, cell, 1, "early", 1))
			if early := v.TimeMS < opens; early != (v.Outcomes[0].Verdict == stock.VerdictNotOpen) {
				h.Fatalf("%v at %d, opening at %d", v.Outcomes[0].Verdict, v.TimeMS, opens)
			}
		}
		h.waitUntil(opens)
		for _, take := range h.takes() {
			h.want(take(cell, 1, "late", 1), stock.VerdictOK)
		}
	},
	"a cell sells until its closing": func(h *harness) {
		closes := h.now() + moments.Milliseconds()
		cell := h.load(9, stock.Settings{ClosesAtMS: closes})
		v := h.do(stock.OpReserve, h.take(stock.OpReserve, cell, 1, "early", 1))
		if late := v.TimeMS >= closes; late != (v.Outcomes[0].Verdict == stock.VerdictClosed) {
			h.Fatalf("%v at %d, closing at %d", v.Outcomes[0].Verdict, v.TimeMS, closes)
		}
		h.waitUntil(closes)
		for _, take := range h.takes() {
			h.want(take(cell, 1, "late", 1), stock.VerdictClosed)
		}
	},
	"opening and closing far away": func(h *harness) {
		cell := h.load(9, stock.Settings{OpensAtMS: stock.TimeMaxMS})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictNotOpen)
		h.set(cell, "open", stock.FieldOpensAt|stock.FieldClosesAt, stock.Settings{OpensAtMS: 1, ClosesAtMS: stock.TimeMaxMS})
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictOK)
		h.set(cell, "close", stock.FieldClosesAt, stock.Settings{ClosesAtMS: 1})
		h.want(h.reserve(cell, 1, "b", 1), stock.VerdictClosed)
	},
	"opening, closing and deadline are the first ms of what follows": func(h *harness) {
		h.onTime(func() bool {
			at := h.now() + 3
			opening, closing := h.load(9, stock.Settings{OpensAtMS: at}), h.load(9, stock.Settings{ClosesAtMS: at})
			h.waitUntil(at)
			open := h.do(stock.OpReserve, h.take(stock.OpReserve, opening, 1, "a", 1))
			closed := h.do(stock.OpDeduct, h.take(stock.OpDeduct, closing, 1, "a", 1))
			h.wantAll(open, stock.VerdictOK)
			h.wantAll(closed, stock.VerdictClosed)
			return open.TimeMS == at && closed.TimeMS == at
		})
		h.onTime(func() bool {
			r := h.held(h.load(9, stock.Settings{Hold: 3 * time.Millisecond}), 1, "a", 1)
			h.waitUntil(r.DeadlineMS)
			late := h.do(stock.OpConfirm, stock.Request{ID: r.ID})
			h.wantAll(late, stock.VerdictWrongState)
			return late.TimeMS == r.DeadlineMS
		})
		h.onTime(func() bool {
			r := h.held(h.load(9, stock.Settings{Hold: 3 * time.Millisecond}), 1, "a", 1)
			h.waitUntil(r.DeadlineMS)
			sweep, err := h.store.Expire(context.Background(), r.ID.Partition(), 1000)
			if err != nil {
				h.Fatal(err)
			}
			if got := h.record(r.ID); got.State != stock.StateExpired && !sweep.More {
				h.Fatalf("record %+v after a sweep at %d", got, sweep.TimeMS)
			}
			return slices.ContainsFunc(sweep.Entries, func(entry stock.Entry) bool {
				batch, err := event.Decode(entry.Data)
				return err == nil && batch.TimeMS == r.DeadlineMS
			})
		})
	},
	"due units come back": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: moments, Limit: 5})
		r := h.held(cell, 1, "a", 2)
		h.waitUntil(r.DeadlineMS)
		h.expire(cell)
		h.wantUnits(cell, 9, 0, 0)
		h.wantLast(cell, event.KindExpire, r)
		got := h.record(r.ID)
		r.State, r.Counted, r.Seq = stock.StateExpired, false, r.Seq+1
		if got != r {
			h.Fatalf("record %+v, want %+v", got, r)
		}
	},
	"nothing expires before its deadline": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := h.held(cell, 1, "a", 2)
		h.expire(cell)
		if got := h.record(r.ID); got != r {
			h.Fatalf("record %+v, before %+v", got, r)
		}
		h.wantUnits(cell, 7, 2, 0)
	},
	"nothing expires twice": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: moments})
		r := h.held(cell, 1, "a", 2)
		h.waitUntil(r.DeadlineMS)
		h.expire(cell)
		h.expire(cell)
		h.wantUnits(cell, 9, 0, 0)
		if n := len(h.events(cell)); n != 3 {
			h.Fatalf("%d events, want 3", n)
		}
	},
	"settled reservations do not expire": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: 200 * time.Millisecond})
		v := h.do(stock.OpReserve,
			h.take(stock.OpReserve, cell, 1, "a", 1),
			h.take(stock.OpReserve, cell, 1, "b", 1),
			h.take(stock.OpReserve, cell, 1, "c", 1))
		confirmed := h.confirm(v.Outcomes[0].Reservation, 0).Verdict
		released := h.release(v.Outcomes[1].Reservation, 0).Verdict
		h.waitUntil(v.Outcomes[2].Reservation.DeadlineMS)
		h.expire(cell)
		// On a machine that stood still for the hold time, all three have expired.
		if confirmed == stock.VerdictOK && released == stock.VerdictOK {
			h.wantUnits(cell, 8, 0, 1)
		} else {
			h.Skipf("too slow: confirm %v, release %v", confirmed, released)
		}
	},
	"a sweep tells of the next deadline": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := h.held(cell, 1, "a", 1)
		h.expire(cell)
		sweep, err := h.store.Expire(context.Background(), r.ID.Partition(), 1)
		if err != nil {
			h.Fatal(err)
		}
		if sweep.NextMS == 0 || sweep.NextMS > r.DeadlineMS || sweep.TimeMS <= 0 {
			h.Fatalf("sweep %+v, deadline %d", sweep, r.DeadlineMS)
		}
	},
	"a limited sweep says that there is more": func(h *harness) {
		cell := h.load(stock.VectorMax*4, stock.Settings{Hold: 5 * moments})
		var last int64
		for i := range 4 {
			var requests []stock.Request
			for user := range int64(stock.VectorMax) {
				requests = append(requests, h.take(stock.OpReserve, cell, user+1, string(rune('a'+i)), 1))
			}
			v := h.do(stock.OpReserve, requests...)
			last = v.TimeMS + (5 * moments).Milliseconds()
		}
		h.waitUntil(last)
		// Other cases share the server and may sweep too, so less than everything may be left.
		const limit = 2
		sweep, err := h.store.Expire(context.Background(), cell.Partition(h.store.Partitions()), limit)
		if err != nil {
			h.Fatal(err)
		}
		if held := h.state(cell).Held; held > 0 && !sweep.More {
			h.Fatalf("sweep %+v leaves %d held", sweep, held)
		}
		if sweep.Expired >= limit+stock.VectorMax { // the last vector may be taken whole
			h.Fatalf("%d expired, the limit is %d", sweep.Expired, limit)
		}
		h.expire(cell)
		h.wantUnits(cell, stock.VectorMax*4, 0, 0)
	},
	"one sweep takes what many vectors have left": func(h *harness) {
		const vectors, users = 70, 4 // more than Redis is asked for in one step, of either
		cell := h.load(vectors*users, stock.Settings{Hold: moments})
		var last int64
		for i := range vectors {
			var requests []stock.Request
			for user := range int64(users) {
				requests = append(requests, h.take(stock.OpReserve, cell, user+1, fmt.Sprint(i), 1))
			}
			last = h.do(stock.OpReserve, requests...).Outcomes[0].Reservation.DeadlineMS
		}
		h.waitUntil(last)
		if _, err := h.store.Expire(context.Background(), cell.Partition(h.store.Partitions()), 2000); err != nil {
			h.Fatal(err)
		}
		h.wantUnits(cell, vectors*users, 0, 0)
	},
	"a sweep answers what it put into the outbox": func(h *harness) {
		cell := h.load(9, stock.Settings{Hold: moments})
		released := h.held(cell, 2, "a", 1)
		h.release(released, 0)
		r := h.held(cell, 1, "a", 1)
		h.waitUntil(r.DeadlineMS)
		sweep, err := h.store.Expire(context.Background(), r.ID.Partition(), 1000)
		if err != nil {
			h.Fatal(err)
		}
		events := 0
		for _, entry := range sweep.Entries {
			batch, err := event.Decode(entry.Data)
			if err != nil || entry.Partition != r.ID.Partition() || batch.Partition != entry.Partition || entry.ID == "" {
				h.Fatalf("entry %+v: %v", entry, err)
			}
			events += len(batch.Events)
		}
		if events != sweep.Expired {
			h.Fatalf("%d events, %d expired", events, sweep.Expired)
		}
	},
	"units that came back are sold again": func(h *harness) {
		cell := h.load(1, stock.Settings{Hold: moments, Limit: 1})
		r := h.held(cell, 1, "a", 1)
		h.waitUntil(r.DeadlineMS)
		h.expire(cell)
		h.want(h.reserve(cell, 2, "a", 1), stock.VerdictOK)
		h.wantRecord(h.reserve(cell, 1, "a", 1), stock.VerdictReplayed, stock.StateExpired)
	},
	"a partition that does not exist": func(h *harness) {
		if _, err := h.store.Expire(context.Background(), h.store.Partitions(), 1); err == nil {
			h.Error("expire: no error")
		}
		if _, err := h.store.Forget(context.Background(), -1, 1); err == nil {
			h.Error("forget: no error")
		}
	},
}

var forgetCases = group{
	"a finished record is forgotten after its retention": func(h *harness) {
		h = h.with(Options{Retention: moments})
		cell := h.load(9, stock.Settings{Hold: time.Minute})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.want(h.release(a, 0), stock.VerdictOK)
		h.want(h.confirm(b, 0), stock.VerdictOK)
		d, e := h.take(stock.OpDeduct, cell, 1, "d", 1), h.take(stock.OpDeduct, cell, 1, "e", 1)
		h.wantAll(h.do(stock.OpDeduct, d, e), stock.VerdictOK, stock.VerdictOK)
		m := h.adjust(cell, "m", stock.Adjustment{Delta: 1}).Reservation
		g := h.giveBack(cell, 1, "g", 1).Reservation
		h.waitUntil(h.now() + moments.Milliseconds())
		h.forget(cell)
		for _, id := range []stock.ReservationID{a.ID, b.ID, d.ID, e.ID, m.ID, g.ID} {
			if r := h.record(id); r.State != stock.StateNone {
				h.Errorf("record %+v", r)
			}
		}
		h.wantUnits(cell, 8, 0, 2)
		h.want(h.release(a, 0), stock.VerdictUnknownReservation)
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictOK) // a new request
	},
	"an expired record is forgotten too": func(h *harness) {
		h = h.with(Options{Retention: moments})
		cell := h.load(9, stock.Settings{Hold: moments})
		r := h.held(cell, 1, "a", 1)
		h.waitUntil(r.DeadlineMS)
		h.expire(cell)
		h.waitUntil(h.now() + moments.Milliseconds())
		h.forget(cell)
		if r := h.record(r.ID); r.State != stock.StateNone {
			h.Fatalf("record %+v", r)
		}
	},
	"within its retention a record stays": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := h.release(h.held(cell, 1, "a", 1), 0).Reservation
		h.forget(cell)
		if got := h.record(r.ID); got != r {
			h.Fatalf("record %+v, before %+v", got, r)
		}
	},
	"held reservations are never forgotten": func(h *harness) {
		h = h.with(Options{Retention: time.Millisecond})
		cell := h.load(9, stock.Settings{})
		r := h.held(cell, 1, "a", 1)
		h.waitUntil(h.now() + moments.Milliseconds())
		h.forget(cell)
		if got := h.record(r.ID); got != r {
			h.Fatalf("record %+v, before %+v", got, r)
		}
	},
	"a sold unit counts against the limit also when its record is gone": func(h *harness) {
		h = h.with(Options{Retention: time.Millisecond})
		cell := h.load(9, stock.Settings{Limit: 1})
		d := h.deduct(cell, 1, "a", 1).Reservation
		h.waitUntil(h.now() + 2)
		h.forget(cell)
		if r := h.record(d.ID); r.State != stock.StateNone {
			h.Fatalf("record %+v", r)
		}
		h.want(h.deduct(cell, 1, "b", 1), stock.VerdictLimitReached)
	},
	"about as many records are forgotten as the call may": func(h *harness) {
		h = h.with(Options{Retention: time.Millisecond})
		const limit, n = 3, 6
		cell := h.load(n, stock.Settings{})
		var ids []stock.ReservationID
		for user := range int64(n) {
			ids = append(ids, h.deduct(cell, user+1, "a", 1).Reservation.ID)
		}
		h.waitUntil(h.now() + 2)
		forgotten, err := h.store.Forget(context.Background(), ids[0].Partition(), limit)
		if err != nil {
			h.Fatal(err)
		}
		gone := 0
		for _, id := range ids {
			if h.record(id).State == stock.StateNone {
				gone++
			}
		}
		// Where more are gone than were forgotten here, another case that shares the server has been faster.
		if forgotten >= n || forgotten < limit && gone <= forgotten {
			h.Fatalf("%d forgotten and %d of %d records gone, the limit is %d", forgotten, gone, n, limit)
		}
	},
	"an old deadline does not end a new hold under the same key": func(h *harness) {
		h = h.with(Options{Retention: time.Millisecond})
		cell := h.load(9, stock.Settings{Hold: 300 * time.Millisecond})
		v := h.do(stock.OpReserve, h.take(stock.OpReserve, cell, 1, "a", 1), h.take(stock.OpReserve, cell, 1, "b", 1))
		first := v.Outcomes[0].Reservation
		for _, o := range v.Outcomes {
			if got := h.release(o.Reservation, 0).Verdict; got == stock.VerdictWrongState {
				h.Skip("too slow: the hold ended before the release")
			}
		}
		h.waitUntil(h.now() + 2)
		h.forget(cell)
		h.set(cell, "hold", stock.FieldHold, stock.Settings{Hold: hold})
		again := h.held(cell, 1, "a", 1)
		h.waitUntil(first.DeadlineMS)
		h.expire(cell)
		if got := h.record(again.ID); got != again {
			h.Fatalf("record %+v, before %+v", got, again)
		}
		h.wantUnits(cell, 8, 1, 0)
	},
}

// onTime tries until a call was decided in the very ms that it was made for.
func (h *harness) onTime(try func() bool) {
	h.Helper()
	for range 200 {
		if try() {
			return
		}
	}
	h.Skip("too slow: no call came in its ms")
}

// forget removes the records from a cell's partition whose retention has ended.
func (h *harness) forget(cell stock.Cell) {
	h.Helper()
	for range 1000 {
		n, err := h.store.Forget(context.Background(), cell.Partition(h.store.Partitions()), 1000)
		if err != nil {
			h.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	h.Fatal("there is always more to forget")
}
