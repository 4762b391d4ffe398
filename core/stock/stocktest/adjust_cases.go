package stocktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/core/event"
	"sluice/core/stock"
)

var adjustCases = group{
	"create makes a cell with all its settings": func(h *harness) {
		cell := newCell()
		s := stock.Settings{
			Limit: 3, OpensAtMS: 5, ClosesAtMS: stock.TimeMaxMS, Hold: stock.HoldMax, Ack: stock.AckLog,
			ShopperDeducts: true, Frozen: true, ExtendMax: stock.HoldMax,
		}
		h.loadCell(cell, 10, s)
		want := stock.CellState{
			Cell: cell, Loaded: true, Position: stock.Position{Epoch: 1, Seq: 1},
			Balances: stock.Balances{Avail: 10, Total: 10}, Settings: s,
		}
		if got := h.state(cell); got != want {
			h.Fatalf("cell %+v, want %+v", got, want)
		}
		e := h.events(cell)[0]
		if e.Kind != event.KindAdjust || e.User != admin || e.Quantity != 0 || e.Change.Delta != 10 ||
			e.Change.Settings != s || e.Change.Reason != "test" {
			h.Fatalf("event %+v", e)
		}
	},
	"create without units": func(h *harness) {
		cell := h.load(0, stock.Settings{})
		h.wantUnits(cell, 0, 0, 0)
	},
	"create on a cell that exists": func(h *harness) {
		cell := h.load(1, stock.Settings{})
		again := stock.Adjustment{Create: true, Delta: 1, Settings: stock.Settings{Hold: hold}}
		h.want(h.adjust(cell, "other", again), stock.VerdictWrongState)
		h.wantUnits(cell, 1, 0, 0)
	},
	"the same creation is replayed": func(h *harness) {
		cell := h.load(1, stock.Settings{})
		again := stock.Adjustment{Create: true, Delta: 1, Settings: stock.Settings{Hold: hold}}
		h.wantRecord(h.adjust(cell, "load", again), stock.VerdictReplayed, stock.StateAdjusted)
		h.wantUnits(cell, 1, 0, 0)
	},
	"without create a cell that is not there": func(h *harness) {
		h.want(h.adjust(newCell(), "a", stock.Adjustment{Delta: 1}), stock.VerdictNotLoaded)
	},
	"a delta changes avail and total": func(h *harness) {
		cell := h.load(10, stock.Settings{Limit: 2})
		before := h.state(cell).Settings
		o := h.adjust(cell, "a", stock.Adjustment{Delta: 5, Reason: "restock"})
		h.wantRecord(o, stock.VerdictOK, stock.StateAdjusted)
		h.want(h.adjust(cell, "b", stock.Adjustment{Delta: -15, Reason: "damaged"}), stock.VerdictOK)
		h.wantUnits(cell, 0, 0, 0)
		if s := h.state(cell).Settings; s != before {
			h.Fatalf("settings %+v, before %+v", s, before)
		}
		events := h.events(cell)
		if c := events[1].Change; c.Delta != 5 || c.Reason != "restock" || c.Fields != 0 || c.Settings != before {
			h.Fatalf("change %+v", c)
		}
		if c := events[2].Change; c.Delta != -15 || c.Reason != "damaged" {
			h.Fatalf("change %+v", c)
		}
	},
	"a delta may not take what is not avail": func(h *harness) {
		cell := h.load(10, stock.Settings{})
		h.held(cell, 1, "a", 4)
		h.want(h.deduct(cell, 1, "b", 3), stock.VerdictOK)
		h.want(h.adjust(cell, "less", stock.Adjustment{Delta: -4}), stock.VerdictSoldOut)
		h.want(h.adjust(cell, "less", stock.Adjustment{Delta: -3}), stock.VerdictOK)
		h.wantUnits(cell, 0, 4, 3)
	},
	"the same adjustment is replayed, another is a mismatch": func(h *harness) {
		cell := h.load(10, stock.Settings{})
		h.want(h.adjust(cell, "a", stock.Adjustment{Delta: 1}), stock.VerdictOK)
		h.wantRecord(h.adjust(cell, "a", stock.Adjustment{Delta: 1}), stock.VerdictReplayed, stock.StateAdjusted)
		h.want(h.adjust(cell, "a", stock.Adjustment{Delta: 2}), stock.VerdictMismatch)
		h.wantUnits(cell, 11, 0, 0)
	},
	"a total beyond the bound is an error and changes nothing": func(h *harness) {
		cell := h.load(stock.UnitsMax-1, stock.Settings{})
		v := &stock.Vector{Op: stock.OpAdjust, Requests: []stock.Request{
			h.adjustment(cell, "one", stock.Adjustment{Delta: 1}),
			h.adjustment(cell, "two", stock.Adjustment{Delta: 1}),
		}}
		v.Partition = v.Requests[0].ID.Partition()
		h.store.Do(context.Background(), v)
		if !errors.Is(v.Err, stock.ErrProtocol) {
			h.Fatalf("error %v", v.Err)
		}
		h.wantUnits(cell, stock.UnitsMax-1, 0, 0)
		h.want(h.adjust(cell, "one", stock.Adjustment{Delta: 1}), stock.VerdictOK)
	},
	"each setting changes alone": func(h *harness) {
		all := stock.Settings{
			Limit: 9, OpensAtMS: 8, ClosesAtMS: 7, Hold: 6 * time.Second, Ack: stock.AckReplica,
			ShopperDeducts: true, Frozen: true, ExtendMax: 5 * time.Second,
		}
		cell := h.load(1, stock.Settings{})
		want := h.state(cell).Settings
		for field := stock.FieldLimit; field != 0; field <<= 1 {
			h.set(cell, "set "+string(rune('a'+field)), field, all)
			want = want.With(field, all)
			if got := h.state(cell).Settings; got != want {
				h.Fatalf("field %b: settings %+v, want %+v", field, got, want)
			}
			events := h.events(cell)
			if c := events[len(events)-1].Change; c.Fields != field || c.Settings != want || c.Delta != 0 {
				h.Fatalf("field %b: change %+v", field, c)
			}
		}
		if want != all {
			h.Fatalf("settings %+v, want %+v", want, all)
		}
		none := stock.Settings{Hold: hold}
		for field := stock.FieldLimit; field != 0; field <<= 1 {
			h.set(cell, "unset "+string(rune('a'+field)), field, none)
			want = want.With(field, none)
			if got := h.state(cell).Settings; got != want {
				h.Fatalf("field %b taken back: settings %+v, want %+v", field, got, want)
			}
		}
	},
	"a cell keeps its bound of extensions": func(h *harness) {
		cell := h.load(9, stock.Settings{ExtendMax: time.Minute})
		h.want(h.confirm(h.held(cell, 1, "a", 2), 0), stock.VerdictOK)
		h.want(h.adjust(cell, "more", stock.Adjustment{Delta: 1}), stock.VerdictOK)
		if s := h.state(cell); s.ExtendMax != time.Minute || s.Avail != 8 || s.Sold != 2 {
			h.Fatalf("cell %+v", s)
		}
	},
	"a vector about cells with and without a bound of extensions": func(h *harness) {
		cells := h.neighbours(2)
		for _, cell := range cells {
			h.loadCell(cell, 1, stock.Settings{})
		}
		bound := stock.Adjustment{Fields: stock.FieldExtendMax, Settings: stock.Settings{ExtendMax: time.Minute}}
		none := stock.Adjustment{Fields: stock.FieldExtendMax}
		h.wantAll(h.do(stock.OpAdjust,
			h.adjustment(cells[0], "more", stock.Adjustment{Delta: 1}), h.adjustment(cells[1], "bound", bound),
			h.adjustment(cells[0], "still more", stock.Adjustment{Delta: 1}), h.adjustment(cells[1], "none", none),
		), stock.VerdictOK, stock.VerdictOK, stock.VerdictOK, stock.VerdictOK)
		plain, bounded := h.events(cells[0])[1:], h.events(cells[1])[1:]
		if plain[0].Avail != 2 || plain[1].Avail != 3 || plain[1].Change.Settings.ExtendMax != 0 {
			h.Fatalf("events %+v", plain)
		}
		if bounded[0].Change.Settings.ExtendMax != time.Minute || bounded[1].Change.Settings.ExtendMax != 0 {
			h.Fatalf("events %+v", bounded)
		}
	},
	"a delta and settings together": func(h *harness) {
		cell := h.load(1, stock.Settings{})
		h.want(h.adjust(cell, "a", stock.Adjustment{
			Delta: 2, Fields: stock.FieldLimit, Settings: stock.Settings{Limit: 4},
		}), stock.VerdictOK)
		h.wantUnits(cell, 3, 0, 0)
		if s := h.state(cell); s.Limit != 4 || s.Seq != 2 {
			h.Fatalf("cell %+v", s)
		}
	},
	"a new hold time is for new reservations": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		r := h.held(cell, 1, "a", 1)
		h.set(cell, "hold", stock.FieldHold, stock.Settings{Hold: moments})
		short := h.held(cell, 1, "b", 1)
		h.waitUntil(short.DeadlineMS)
		h.expire(cell)
		if got := h.record(r.ID); got != r {
			h.Fatalf("record %+v, before %+v", got, r)
		}
		h.wantUnits(cell, 8, 1, 0)
	},
	"a frozen cell sells again when it thaws": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.set(cell, "freeze", stock.FieldFrozen, stock.Settings{Frozen: true})
		for _, take := range h.takes() {
			h.want(take(cell, 1, "a", 1), stock.VerdictFrozen)
		}
		h.want(h.adjust(cell, "more", stock.Adjustment{Delta: 1}), stock.VerdictOK)
		h.set(cell, "thaw", stock.FieldFrozen, stock.Settings{})
		h.want(h.reserve(cell, 1, "a", 10), stock.VerdictOK)
	},
	"the longest reason": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		reason := strings.Repeat("ä", stock.ReasonMax/2)
		h.want(h.adjust(cell, "a", stock.Adjustment{Delta: 1, Reason: reason}), stock.VerdictOK)
		if c := h.events(cell)[1].Change; c.Reason != reason {
			h.Fatalf("reason %q", c.Reason)
		}
	},
	"the halves of a transfer": func(h *harness) {
		from, to := h.load(9, stock.Settings{}), h.load(0, stock.Settings{})
		out, in := stock.TransferRequest{From: from, To: to, User: admin, Key: "a"}.IDs(h.store.Partitions())
		o := h.adjustment(from, "", stock.Adjustment{Kind: stock.AdjustTransferOut, Delta: -4})
		o.ID = out
		i := h.adjustment(to, "", stock.Adjustment{Kind: stock.AdjustTransferIn, Delta: 4})
		i.ID = in
		h.wantRecord(h.one(stock.OpAdjust, o), stock.VerdictOK, stock.StateAdjusted)
		h.wantRecord(h.one(stock.OpAdjust, i), stock.VerdictOK, stock.StateAdjusted)
		h.want(h.one(stock.OpAdjust, o), stock.VerdictReplayed)
		h.want(h.one(stock.OpAdjust, i), stock.VerdictReplayed)
		h.wantUnits(from, 5, 0, 0)
		h.wantUnits(to, 4, 0, 0)
		if e := h.events(from)[1]; e.Kind != event.KindTransferOut || e.Reservation != out || e.Change.Delta != -4 {
			h.Fatalf("event %+v", e)
		}
		if e := h.events(to)[1]; e.Kind != event.KindTransferIn || e.Reservation != in || e.Change.Delta != 4 {
			h.Fatalf("event %+v", e)
		}
	},
	"a transfer moves units once, however often it is asked for": func(h *harness) {
		from := h.load(9, stock.Settings{})
		to := stock.Cell{SKU: from.SKU, Pool: 9} // most likely in another partition
		h.loadCell(to, 0, stock.Settings{})
		move := stock.TransferRequest{From: from, To: to, Units: 4, User: admin, Key: "a", Reason: "test"}
		for range 3 {
			if _, err := stock.Transfer(context.Background(), h.store, move); err != nil {
				h.Fatal(err)
			}
			h.wantUnits(from, 5, 0, 0)
			h.wantUnits(to, 4, 0, 0)
		}
		move.Units = 5
		if _, err := stock.Transfer(context.Background(), h.store, move); !errors.Is(err, stock.ErrTransferMismatch) {
			h.Fatalf("other units under the same key: error %v", err)
		}
	},
	"the event by which units left tells where to, and brings them there once": func(h *harness) {
		from := h.load(9, stock.Settings{})
		cells := []stock.Cell{from, {SKU: from.SKU, Pool: 9}, {SKU: from.SKU, Pool: 10}, {SKU: from.SKU, Pool: 9, Bucket: 1}}
		for _, to := range cells[1:] {
			h.loadCell(to, 0, stock.Settings{})
		}
		move := stock.TransferRequest{From: from, To: cells[1], Units: 4, User: admin, Key: "a", Reason: "test"}
		if _, err := stock.Transfer(context.Background(), &cutOff{Store: h.store}, move); !errors.Is(err, stock.ErrInTransit) {
			h.Fatalf("error %v", err)
		}
		e := h.events(from)[1]
		half := stock.Departure{
			ID: e.Reservation, From: from, Units: -e.Change.Delta, User: e.User, Fingerprint: e.Fingerprint, Reason: e.Change.Reason,
		}
		to, known := half.Destination(cells)
		if !known || to != move.To {
			h.Fatalf("to %v, %v", to, known)
		}
		for range 2 {
			if err := half.Arrive(context.Background(), h.store, to); err != nil {
				h.Fatal(err)
			}
			h.wantUnits(from, 5, 0, 0)
			h.wantUnits(to, 4, 0, 0)
		}
		if replayed, err := stock.Transfer(context.Background(), h.store, move); err != nil || !replayed {
			h.Fatalf("repeated: %v, error %v", replayed, err)
		}
		h.wantUnits(to, 4, 0, 0)
	},
}

// cutOff is a store that takes one call of Do.
type cutOff struct {
	stock.Store

	done bool
}

func (c *cutOff) Do(ctx context.Context, vectors ...*stock.Vector) {
	if !c.done {
		c.done = true
		c.Store.Do(ctx, vectors...)
		return
	}
	for _, v := range vectors {
		v.Err = fmt.Errorf("%w: cut off", stock.ErrNotApplied)
	}
}
