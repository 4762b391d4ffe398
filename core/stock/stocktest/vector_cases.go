package stocktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"sluice/core/event"
	"sluice/core/stock"
)

var vectorCases = group{
	"each request sees the effects of those before it": func(h *harness) {
		cell := h.load(3, stock.Settings{Limit: 2})
		v := h.do(stock.OpReserve,
			h.take(stock.OpReserve, cell, 1, "a", 2),
			h.take(stock.OpReserve, cell, 1, "a", 2),
			h.take(stock.OpReserve, cell, 1, "a", 1),
			h.take(stock.OpReserve, cell, 1, "b", 1),
			h.take(stock.OpReserve, cell, 2, "a", 2),
			h.take(stock.OpReserve, cell, 2, "b", 1),
			h.take(stock.OpReserve, cell, 3, "a", 1))
		h.wantAll(v, stock.VerdictOK, stock.VerdictReplayed, stock.VerdictMismatch, stock.VerdictLimitReached,
			stock.VerdictSoldOut, stock.VerdictOK, stock.VerdictSoldOut)
		if first, again := v.Outcomes[0].Reservation, v.Outcomes[1].Reservation; first != again {
			h.Fatalf("replayed %+v, first %+v", again, first)
		}
		h.wantUnits(cell, 0, 3, 0)
	},
	"settling the same reservation twice": func(h *harness) {
		cell := h.load(3, stock.Settings{})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		twice := h.do(stock.OpConfirm, stock.Request{ID: a.ID}, stock.Request{ID: a.ID})
		h.wantAll(twice, stock.VerdictOK, stock.VerdictReplayed)
		if first, again := twice.Outcomes[0].Reservation, twice.Outcomes[1].Reservation; first != again {
			h.Fatalf("replayed %+v, first %+v", again, first)
		}
		h.wantAll(h.do(stock.OpRelease,
			stock.Request{ID: b.ID, Cell: cell}, stock.Request{ID: a.ID, Cell: cell}, stock.Request{ID: b.ID, Cell: cell}),
			stock.VerdictOK, stock.VerdictWrongState, stock.VerdictReplayed)
		h.wantUnits(cell, 2, 0, 1)
	},
	"adjustments of one cell": func(h *harness) {
		cell := newCell()
		create := h.adjustment(cell, "load", stock.Adjustment{
			Create: true, Delta: 3, Settings: stock.Settings{Hold: hold},
		})
		v := h.do(stock.OpAdjust,
			h.adjustment(cell, "early", stock.Adjustment{Delta: 1}),
			create,
			create,
			h.adjustment(cell, "less", stock.Adjustment{Delta: -2}),
			h.adjustment(cell, "too much", stock.Adjustment{Delta: -2}))
		h.wantAll(v, stock.VerdictNotLoaded, stock.VerdictOK, stock.VerdictReplayed, stock.VerdictOK, stock.VerdictSoldOut)
		h.wantUnits(cell, 1, 0, 0)
		if err := Audit(context.Background(), h.store, cell); err != nil {
			h.Fatal(err)
		}
	},
	"several cells and pools in one entry": func(h *harness) {
		cells := h.neighbours(3)
		var requests []stock.Request
		for i, cell := range cells {
			h.loadCell(cell, 9, stock.Settings{Limit: int64(i)})
			requests = append(requests, h.take(stock.OpReserve, cell, 1, "a", 1))
		}
		requests = append(requests, h.take(stock.OpReserve, cells[1], 1, "b", 1), h.take(stock.OpReserve, cells[2], 1, "b", 1))
		v := h.do(stock.OpReserve, requests...)
		h.wantAll(v, stock.VerdictOK, stock.VerdictOK, stock.VerdictOK, stock.VerdictLimitReached, stock.VerdictOK)
		batch, err := event.Decode(v.Entry.Data)
		if err != nil {
			h.Fatal(err)
		}
		if len(batch.Events) != 4 || batch.Events[3].Cell != cells[2] || batch.Events[3].Seq != 3 {
			h.Fatalf("events %+v", batch.Events)
		}
		var release []stock.Request
		for _, o := range v.Outcomes[:3] {
			release = append(release, stock.Request{ID: o.Reservation.ID, Cell: o.Reservation.Cell})
		}
		h.wantAll(h.do(stock.OpRelease, release...), stock.VerdictOK, stock.VerdictOK, stock.VerdictOK)
		h.want(h.reserve(cells[1], 1, "c", 1), stock.VerdictOK)
	},
	"limits of several pools": func(h *harness) {
		cells := h.neighbours(2)
		for _, cell := range cells {
			h.loadCell(cell, 9, stock.Settings{Limit: 2})
		}
		both := func(user int64, key string, quantity int64) *stock.Vector {
			h.Helper()
			return h.do(stock.OpReserve,
				h.take(stock.OpReserve, cells[0], user, key, quantity), h.take(stock.OpReserve, cells[1], user, key, quantity))
		}
		h.held(cells[1], 1, "before", 1)
		h.wantAll(both(1, "a", 2), stock.VerdictOK, stock.VerdictLimitReached)
		h.want(h.release(h.record(h.take(stock.OpReserve, cells[0], 1, "a", 2).ID), 1), stock.VerdictOK)
		v := both(1, "b", 1)
		h.wantAll(v, stock.VerdictOK, stock.VerdictOK)
		h.want(h.reserve(cells[1], 1, "c", 1), stock.VerdictLimitReached)
		var release []stock.Request
		for _, o := range v.Outcomes {
			release = append(release, stock.Request{ID: o.Reservation.ID, Cell: o.Reservation.Cell})
		}
		h.wantAll(h.do(stock.OpRelease, release...), stock.VerdictOK, stock.VerdictOK)
		h.wantAll(both(1, "d", 2), stock.VerdictOK, stock.VerdictLimitReached)
	},
	"a replay after a refusal of its cell": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.held(cell, 1, "a", 1)
		h.set(cell, "freeze", stock.FieldFrozen, stock.Settings{Frozen: true})
		v := h.do(stock.OpReserve, h.take(stock.OpReserve, cell, 1, "b", 1), h.take(stock.OpReserve, cell, 1, "a", 1))
		h.wantAll(v, stock.VerdictFrozen, stock.VerdictReplayed)
	},
	"the entry is what the outbox has": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		v := h.do(stock.OpReserve, h.take(stock.OpReserve, cell, 1, "a", 1), h.take(stock.OpReserve, cell, 2, "a", 1))
		entries, err := h.store.OutboxAfter(context.Background(), v.Partition, "", 1<<20)
		if err != nil {
			h.Fatal(err)
		}
		at := slices.IndexFunc(entries, func(e stock.Entry) bool { return e.ID == v.Entry.ID })
		if at < 0 || !slices.Equal(entries[at].Data, v.Entry.Data) || entries[at].Partition != v.Partition {
			h.Fatalf("entry %v is not in the outbox as it was answered", v.Entry.ID)
		}
		rest, err := h.store.OutboxAfter(context.Background(), v.Partition, v.Entry.ID, 1<<20)
		if err != nil {
			h.Fatal(err)
		}
		if len(rest) < len(entries)-at-1 || len(rest) > 0 && rest[0].ID == v.Entry.ID {
			h.Fatalf("%d entries after number %d of %d", len(rest), at, len(entries))
		}
	},
	"the longest vector": func(h *harness) {
		cell := h.load(100, stock.Settings{Limit: 1})
		var requests []stock.Request
		for user := range int64(stock.VectorMax) {
			requests = append(requests, h.take(stock.OpReserve, cell, user+1, "a", 1))
		}
		v := h.do(stock.OpReserve, requests...)
		var confirms []stock.Request
		for i, o := range v.Outcomes {
			if want := stock.VerdictOK; i < 100 {
				h.want(o, want)
				confirms = append(confirms, stock.Request{ID: o.Reservation.ID})
			} else {
				h.want(o, stock.VerdictSoldOut)
			}
		}
		h.do(stock.OpConfirm, confirms...)
		h.wantUnits(cell, 0, 0, 100)
	},
	"several vectors in one call": func(h *harness) {
		a, b := h.load(9, stock.Settings{}), h.load(9, stock.Settings{})
		vectors := []*stock.Vector{
			{Op: stock.OpReserve, Requests: []stock.Request{h.take(stock.OpReserve, a, 1, "a", 1)}},
			{Op: stock.OpDeduct, Requests: []stock.Request{h.take(stock.OpDeduct, b, 1, "a", 2)}},
			{Op: stock.OpReserve, Requests: []stock.Request{h.take(stock.OpReserve, newCell(), 1, "a", 2)}},
			{Op: stock.OpReserve, Partition: -1, Requests: []stock.Request{{}}},
		}
		for _, v := range vectors[:3] {
			v.Partition = v.Requests[0].ID.Partition()
		}
		h.store.Do(context.Background(), vectors...)
		for i, want := range []stock.Verdict{stock.VerdictOK, stock.VerdictOK, stock.VerdictNotLoaded} {
			if vectors[i].Err != nil {
				h.Fatal(vectors[i].Err)
			}
			h.want(vectors[i].Outcomes[0], want)
		}
		if !errors.Is(vectors[3].Err, stock.ErrProtocol) {
			h.Fatalf("error %v", vectors[3].Err)
		}
		h.wantUnits(a, 8, 1, 0)
		h.wantUnits(b, 7, 0, 2)
	},
	"a vector can be used again": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := h.take(stock.OpReserve, cell, 1, "a", 1)
		v := h.do(stock.OpReserve, r)
		h.store.Do(context.Background(), v)
		if v.Err != nil || len(v.Outcomes) != 1 || v.Entry.ID != "" || len(v.Entry.Data) != 0 {
			h.Fatalf("vector %+v", v)
		}
		h.want(v.Outcomes[0], stock.VerdictReplayed)
	},
	"malformed vectors are protocol errors and change nothing": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		good := h.take(stock.OpReserve, cell, 1, "a", 1)
		bad := func(change func(r *stock.Request)) []stock.Request {
			r := h.take(stock.OpReserve, cell, 1, "b", 1)
			change(&r)
			return []stock.Request{good, r}
		}
		for name, v := range map[string]*stock.Vector{
			"empty":             {Op: stock.OpReserve},
			"too long":          {Op: stock.OpReserve, Requests: make([]stock.Request, stock.VectorMax+1)},
			"operation":         {Op: 99, Requests: []stock.Request{good}},
			"quantity zero":     {Op: stock.OpReserve, Requests: bad(func(r *stock.Request) { r.Quantity = 0 })},
			"quantity negative": {Op: stock.OpDeduct, Requests: bad(func(r *stock.Request) { r.Quantity = -1 })},
			"quantity large":    {Op: stock.OpReserve, Requests: bad(func(r *stock.Request) { r.Quantity = stock.QuantityMax + 1 })},
			"no user":           {Op: stock.OpReserve, Requests: bad(func(r *stock.Request) { r.User = 0 })},
			"negative user":     {Op: stock.OpReserve, Requests: bad(func(r *stock.Request) { r.User = -1 })},
			"no SKU":            {Op: stock.OpReserve, Requests: bad(func(r *stock.Request) { r.Cell.SKU = 0 })},
			"foreign id":        {Op: stock.OpReserve, Requests: bad(func(r *stock.Request) { r.ID[1] ^= 1 })},
			"no adjustment":     {Op: stock.OpAdjust, Requests: []stock.Request{good}},
			"no reason": {Op: stock.OpAdjust, Requests: []stock.Request{{
				ID: good.ID, Cell: cell, Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Delta: 1},
			}}},
		} {
			v.Partition = good.ID.Partition()
			h.store.Do(context.Background(), v)
			if !errors.Is(v.Err, stock.ErrProtocol) {
				h.Errorf("%s: error %v", name, v.Err)
			}
		}
		h.wantUnits(cell, 9, 0, 0)
	},
	"reads come in the order asked for": func(h *harness) {
		var cells []stock.Cell
		var ids []stock.ReservationID
		for i := range int64(20) {
			cell := h.load(i+1, stock.Settings{})
			cells = append(cells, cell, newCell())
			ids = append(ids, h.held(cell, i+1, "a", 1).ID, h.take(stock.OpReserve, cell, 1, "never", 1).ID)
		}
		states, now, err := h.store.Cells(context.Background(), cells)
		if err != nil || len(states) != len(cells) || now <= 0 {
			h.Fatalf("%d states at %d, error %v", len(states), now, err)
		}
		found, now, err := h.store.Reservations(context.Background(), ids)
		if err != nil || len(found) != len(ids) || now <= 0 {
			h.Fatalf("%d reservations at %d, error %v", len(found), now, err)
		}
		for i := 0; i < len(cells); i += 2 {
			n := int64(i/2 + 1)
			if s := states[i]; s.Cell != cells[i] || s.Total != n || !s.Loaded {
				h.Fatalf("cell %+v, want %v", s, cells[i])
			}
			if s := states[i+1]; s != (stock.CellState{Cell: cells[i+1]}) {
				h.Fatalf("cell %+v, want none", s)
			}
			if r := found[i]; r.ID != ids[i] || r.User != n {
				h.Fatalf("reservation %+v, want %v", r, ids[i])
			}
			if r := found[i+1]; r.State != stock.StateNone {
				h.Fatalf("reservation %+v, want none", r)
			}
		}
	},
	"one key from many clients at once has one effect": func(h *harness) {
		cell := h.load(100, stock.Settings{Limit: 100})
		verdicts := make([]stock.Outcome, 50)
		var wg sync.WaitGroup
		for i := range verdicts {
			wg.Go(func() {
				v := &stock.Vector{Op: stock.OpReserve, Requests: []stock.Request{h.take(stock.OpReserve, cell, 1, "a", 1)}}
				v.Partition = v.Requests[0].ID.Partition()
				h.store.Do(context.Background(), v)
				if v.Err == nil {
					verdicts[i] = v.Outcomes[0]
				}
			})
		}
		wg.Wait()
		counts := map[string]int{}
		for _, o := range verdicts {
			counts[fmt.Sprint(o.Verdict)]++
			if o.Reservation != verdicts[0].Reservation {
				h.Fatalf("records %+v and %+v", o.Reservation, verdicts[0].Reservation)
			}
		}
		if counts["ok"] != 1 || counts["replayed"] != len(verdicts)-1 {
			h.Fatalf("verdicts %v", counts)
		}
		h.wantUnits(cell, 99, 1, 0)
	},
}
