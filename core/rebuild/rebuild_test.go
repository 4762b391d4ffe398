package rebuild_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/core/event"
	"sluice/core/rebuild"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

const startMS = 1_700_000_000_000

// timed is an event and the time of its batch.
type timed struct {
	event.Event

	timeMS int64
}

// history is a random run of the model, with its events by cell.
type history struct {
	*rapid.T

	model  *memstock.Store
	nowMS  int64
	cells  []stock.Cell
	events map[stock.Cell][]timed
	ids    map[stock.ReservationID]bool
	held   []stock.Reservation // when they were granted
	next   uint64
}

func newHistory(t *rapid.T) *history {
	h := &history{T: t, nowMS: startMS, events: map[stock.Cell][]timed{}, ids: map[stock.ReservationID]bool{}}
	h.model = memstock.New(1, func() int64 { return h.nowMS })
	for i, limit := range []int64{0, 6, 3} {
		cell := stock.Cell{SKU: int64(1 + i), Pool: uint32(i)}
		h.cells = append(h.cells, cell)
		h.do(stock.OpAdjust, h.adjustment(cell, stock.Adjustment{
			Kind: stock.AdjustPlain, Create: true, Delta: 30, Settings: stock.Settings{Limit: limit, Hold: 5 * time.Millisecond, ExtendMax: 9 * time.Millisecond}, Reason: "load",
		}))
	}
	return h
}

func (h *history) id() stock.ReservationID {
	h.next++
	return stock.Identity{User: 1, Cell: h.cells[0], Key: string(rune(h.next))}.ID(1)
}

func (h *history) adjustment(cell stock.Cell, a stock.Adjustment) stock.Request {
	return stock.Request{ID: h.id(), Cell: cell, User: 1, Fingerprint: a.Fingerprint(), Adjustment: &a}
}

func (h *history) do(op stock.Op, r stock.Request) stock.Outcome {
	v := &stock.Vector{Op: op, Requests: []stock.Request{r}}
	h.model.Do(context.Background(), v)
	if v.Err != nil {
		h.Fatal(v.Err)
	}
	h.note(v.Entry)
	return v.Outcomes[0]
}

func (h *history) note(entry stock.Entry) {
	if entry.ID == "" {
		return
	}
	b, err := event.Decode(entry.Data)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range b.Events {
		h.events[e.Cell] = append(h.events[e.Cell], timed{e, b.TimeMS})
		h.ids[e.Reservation] = true
	}
}

// run does random things, so many.
func (h *history) run(steps int) {
	for range steps {
		cell := rapid.SampledFrom(h.cells).Draw(h.T, "cell")
		switch rapid.IntRange(0, 11).Draw(h.T, "act") {
		case 0, 1, 2:
			h.take(stock.OpReserve, cell)
		case 3:
			h.take(stock.OpDeduct, cell)
		case 4, 5:
			h.settle(stock.OpConfirm)
		case 6:
			h.settle(stock.OpRelease)
		case 7:
			h.do(stock.OpAdjust, h.adjustment(cell, stock.Adjustment{
				Kind:  rapid.SampledFrom([]stock.AdjustKind{stock.AdjustPlain, stock.AdjustTransferOut, stock.AdjustTransferIn}).Draw(h.T, "kind"),
				Delta: rapid.Int64Range(-3, 6).Draw(h.T, "delta"), Fields: stock.FieldLimit,
				Settings: stock.Settings{Limit: rapid.Int64Range(0, 8).Draw(h.T, "limit")}, Reason: "change",
			}))
		case 8:
			sweep, err := h.model.Expire(context.Background(), 0, 100)
			if err != nil {
				h.Fatal(err)
			}
			for _, entry := range sweep.Entries {
				h.note(entry)
			}
		case 9:
			h.nowMS += rapid.Int64Range(1, 4).Draw(h.T, "ms")
		case 10:
			if len(h.held) > 0 {
				r := rapid.SampledFrom(h.held).Draw(h.T, "reservation")
				h.do(stock.OpExtend, stock.Request{ID: r.ID, DeadlineMS: h.nowMS + rapid.Int64Range(3, 9).Draw(h.T, "more")})
			}
		case 11:
			h.take(stock.OpReturn, cell)
		}
	}
}

func (h *history) take(op stock.Op, cell stock.Cell) {
	r := stock.Request{
		ID: h.id(), Cell: cell, User: rapid.Int64Range(1, 3).Draw(h.T, "user"), Quantity: rapid.Int64Range(1, 3).Draw(h.T, "quantity"),
	}
	r.Fingerprint, r.Reason = stock.FingerprintOf(r.Quantity), "did not fit"
	if o := h.do(op, r); o.Verdict == stock.VerdictOK && op == stock.OpReserve {
		h.held = append(h.held, o.Reservation)
	}
}

func (h *history) settle(op stock.Op) {
	if len(h.held) > 0 {
		r := rapid.SampledFrom(h.held).Draw(h.T, "reservation")
		h.do(op, stock.Request{ID: r.ID, Cell: r.Cell})
	}
}

func (h *history) state(cell stock.Cell) stock.CellState {
	states, _, err := h.model.Cells(context.Background(), []stock.Cell{cell})
	if err != nil {
		h.Fatal(err)
	}
	return states[0]
}

// records are those that the model has of a cell.
func (h *history) records(cell stock.Cell) map[stock.ReservationID]stock.Reservation {
	found, _, err := h.model.Reservations(context.Background(), slices.Collect(maps.Keys(h.ids)))
	if err != nil {
		h.Fatal(err)
	}
	records := map[stock.ReservationID]stock.Reservation{}
	for _, r := range found {
		if r.Cell == cell && r.State != stock.StateNone {
			records[r.ID] = r
		}
	}
	return records
}

// folded is the result of a fold.
type folded struct {
	rebuild.Cell

	ended map[stock.ReservationID]stock.Reservation
	times map[stock.ReservationID]int64
}

func fold(t rapid.TB, base rebuild.Cell, events []timed) folded {
	t.Helper()
	f := folded{ended: map[stock.ReservationID]stock.Reservation{}, times: map[stock.ReservationID]int64{}}
	fold := rebuild.New(base, func(r rebuild.Record) {
		if _, twice := f.ended[r.ID]; twice {
			t.Errorf("%v ended twice", r.ID)
		}
		f.ended[r.ID], f.times[r.ID] = r.Reservation, r.EndedMS
	})
	for i := range events {
		if err := fold.Add(&events[i].Event, events[i].timeMS); err != nil {
			t.Fatal(err)
		}
	}
	f.Cell = fold.End()
	return f
}

// records are all that the fold has told of, finished or open.
func (f *folded) records() map[stock.ReservationID]stock.Reservation {
	records := maps.Clone(f.ended)
	for _, r := range f.Held {
		records[r.ID] = r
	}
	return records
}

// TestFoldIsWhatTheModelHas folds the events of random runs, from nothing and from a position in their middle, and demands the
// model's own cells, records and counts of users. rapid prints the seed of a run that fails.
func TestFoldIsWhatTheModelHas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		h.run(rapid.IntRange(0, 60).Draw(rt, "steps"))
		for _, cell := range h.cells {
			events := h.events[cell]
			middle := rapid.IntRange(0, len(events)).Draw(rt, "middle")
			first := fold(rt, rebuild.Cell{}, events[:middle])
			second := fold(rt, first.Cell, events[max(0, middle-1):]) // the event at the base is there twice
			maps.Copy(first.ended, second.ended)
			inTwo := folded{Cell: second.Cell, ended: first.ended}
			whole := fold(rt, rebuild.Cell{}, events)
			for name, f := range map[string]*folded{"whole": &whole, "in two parts": &inTwo} {
				if d := cmp.Diff(h.state(cell), f.CellState); d != "" {
					rt.Fatalf("%s: cell differs (-model +fold):\n%s", name, d)
				}
				if d := cmp.Diff(h.records(cell), f.records()); d != "" {
					rt.Fatalf("%s: records differ (-model +fold):\n%s", name, d)
				}
				if d := cmp.Diff(h.model.Buyers(cell), f.Buyers); d != "" {
					rt.Fatalf("%s: counts of users differ (-model +fold):\n%s", name, d)
				}
				if f.Lost != (rebuild.Loss{}) || len(f.Revoked) > 0 {
					rt.Fatalf("%s: lost %+v, revoked %v, but all events are there", name, f.Lost, f.Revoked)
				}
			}
			for id, ms := range whole.times {
				at := slices.IndexFunc(events, func(e timed) bool { return e.Reservation == id && e.Seq == whole.ended[id].Seq })
				if events[at].timeMS != ms {
					rt.Fatalf("%v ended at %d, want %d", id, ms, events[at].timeMS)
				}
			}
		}
	})
}

// TestFoldOverHoles leaves random events out. Their effects may be lost, but no sold unit is free, and the bounds hold.
func TestFoldOverHoles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(rt)
		h.run(rapid.IntRange(10, 60).Draw(rt, "steps"))
		for _, cell := range h.cells {
			events := h.events[cell]
			var known []timed
			var missing uint64
			var back int64 // units of returns that are missing: they were of reservations that nobody can name, or of others
			for i, e := range events {
				if i == len(events)-1 || rapid.IntRange(0, 4).Draw(rt, "keep") > 0 {
					known = append(known, e)
				} else {
					missing++
					if e.Kind == event.KindReturn {
						back += e.Quantity
					}
				}
			}
			model, f := h.state(cell), fold(rt, rebuild.Cell{}, known)
			records := f.records()
			var held, nameless int64
			for _, r := range f.Held {
				held += r.Quantity
			}
			for id, r := range h.records(cell) {
				taken := r.State == stock.StateHeld || r.State == stock.StateConfirmed
				if r.State == stock.StateReturned { // nobody tells of whose units they were
					nameless -= r.Quantity
				}
				if _, named := records[id]; taken && !named && !slices.ContainsFunc(f.Revoked, func(r stock.Reservation) bool { return r.ID == id }) {
					nameless += r.Quantity
				}
			}
			switch {
			case f.Lost.Events != missing:
				rt.Fatalf("%d events lost, want %d", f.Lost.Events, missing)
			case !f.Sound(), f.Balances.Held != held:
				rt.Fatalf("%+v with %d units held", f.Balances, held)
			case f.Sold != model.Sold, f.Total != model.Total, f.Position != model.Position:
				rt.Fatalf("%+v, want the total, sold and position of %+v", f.CellState, model)
			case nameless-back > f.Lost.Units:
				rt.Fatalf("%d units have reservations that nobody can name, the bound is %d", nameless, f.Lost.Units)
			}
		}
	})
}

func at(epoch uint32, seq uint64) stock.Position { return stock.Position{Epoch: epoch, Seq: seq} }

func reservation(n byte) stock.ReservationID { return stock.ReservationID{15: n} }

// TestFoldAcrossARebase has a rebase at the end of an epoch whose later events were declared lost.
func TestFoldAcrossARebase(t *testing.T) {
	t.Parallel()
	settings := stock.Settings{Limit: 5, Hold: time.Minute}
	events := []event.Event{
		{Kind: event.KindAdjust, Reservation: reservation(1), Position: at(1, 1), Avail: 10, Change: event.Change{Delta: 10, Settings: settings}},
		{Kind: event.KindReserve, Reservation: reservation(2), User: 7, Quantity: 2, Position: at(1, 2), Avail: 8, Held: 2},
		{Kind: event.KindConfirm, Reservation: reservation(2), User: 7, Quantity: 2, Position: at(1, 3), Avail: 8, Sold: 2}, // declared lost
		{Kind: event.KindReserve, Reservation: reservation(3), User: 7, Quantity: 1, Position: at(1, 4), Avail: 7, Held: 1, Sold: 2},
		{Kind: event.KindRebase, Position: at(2, 3), Avail: 8, Held: 2, Change: event.Change{From: at(1, 2), Settings: settings}},
		{Kind: event.KindReserve, Reservation: reservation(4), User: 7, Quantity: 3, Position: at(2, 4), Avail: 5, Held: 5},
	}
	var ended []stock.ReservationID
	f := rebuild.New(rebuild.Cell{}, func(r rebuild.Record) { ended = append(ended, r.ID) })
	f.EndEpoch(at(1, 2))
	for i := range events {
		events[i].Cell = stock.Cell{SKU: 1001}
		if err := f.Add(&events[i], startMS); err != nil {
			t.Fatal(err)
		}
	}
	c := f.End()
	if want := (stock.Balances{Avail: 5, Held: 5, Total: 10}); c.Balances != want || c.Position != at(2, 4) || c.Lost != (rebuild.Loss{}) {
		t.Errorf("%+v, lost %+v, want %+v at 2.4", c.CellState, c.Lost, want)
	}
	if len(c.Held) != 2 || c.Held[0].ID != reservation(2) || c.Held[1].ID != reservation(4) || c.Buyers[7] != 5 {
		t.Errorf("held %+v, buyers %v", c.Held, c.Buyers)
	}
	if !slices.Equal(ended, []stock.ReservationID{reservation(1)}) {
		t.Errorf("ended %v", ended)
	}
}

// TestFoldRevokesWhatNoLongerFits ends a hold by an event that nobody has, and holds its units again.
func TestFoldRevokesWhatNoLongerFits(t *testing.T) {
	t.Parallel()
	events := []event.Event{
		{Kind: event.KindAdjust, Reservation: reservation(1), Position: at(1, 1), Avail: 3, Change: event.Change{Delta: 3, Settings: stock.Settings{Limit: 5}}},
		{Kind: event.KindReserve, Reservation: reservation(2), User: 7, Quantity: 2, Position: at(1, 2), Avail: 1, Held: 2},
		{Kind: event.KindReserve, Reservation: reservation(3), User: 8, Quantity: 1, Position: at(1, 3), Held: 3},
		// a release of 2 units is missing
		{Kind: event.KindDeduct, Reservation: reservation(4), User: 9, Quantity: 2, Position: at(1, 5), Held: 1, Sold: 2},
	}
	f := rebuild.New(rebuild.Cell{}, nil)
	for i := range events {
		events[i].Cell = stock.Cell{SKU: 1001}
		if err := f.Add(&events[i], startMS); err != nil {
			t.Fatal(err)
		}
	}
	c := f.End()
	if len(c.Revoked) != 2 || c.Revoked[0].ID != reservation(3) || c.Balances != (stock.Balances{Avail: 1, Sold: 2, Total: 3}) {
		t.Errorf("revoked %+v, balances %+v: want the newest one first, until all fits", c.Revoked, c.Balances)
	}
	if want := map[int64]int64{9: 2}; !maps.Equal(c.Buyers, want) || c.Lost.Events != 1 {
		t.Errorf("buyers %v, lost %+v", c.Buyers, c.Lost)
	}
	early := events[1]
	if err := f.Add(&early, startMS); !errors.Is(err, rebuild.ErrOrder) {
		t.Errorf("an event of before: error %v", err)
	}
}

// TestFoldAddsUpExtensions extends a hold twice: the bound counts from its first deadline.
func TestFoldAddsUpExtensions(t *testing.T) {
	t.Parallel()
	events := []event.Event{
		{Kind: event.KindAdjust, Reservation: reservation(1), Position: at(1, 1), Avail: 3, Change: event.Change{Delta: 3}},
		{Kind: event.KindReserve, Reservation: reservation(2), User: 7, Quantity: 2, Position: at(1, 2), Avail: 1, Held: 2, DeadlineMS: 100},
		{Kind: event.KindExtend, Reservation: reservation(2), User: 7, Quantity: 2, Position: at(1, 3), Avail: 1, Held: 2, DeadlineMS: 130},
		{Kind: event.KindExtend, Reservation: reservation(2), User: 7, Quantity: 2, Position: at(1, 4), Avail: 1, Held: 2, DeadlineMS: 170},
	}
	f := rebuild.New(rebuild.Cell{}, nil)
	for i := range events {
		events[i].Cell = stock.Cell{SKU: 1001}
		if err := f.Add(&events[i], startMS); err != nil {
			t.Fatal(err)
		}
	}
	if c := f.End(); len(c.Held) != 1 || c.Held[0].ExtendedMS != 70 || c.Held[0].DeadlineMS != 170 {
		t.Errorf("held %+v, want it extended by 70 ms", c.Held)
	}
}

// TestRebaseOpensAndRevokes has a shut cell with holds that no longer fit: one takes all units that are free, and gets an event;
// one takes more, and no event can say it. The cell is open afterwards.
func TestRebaseOpensAndRevokes(t *testing.T) {
	t.Parallel()
	cell := stock.Cell{SKU: 1001}
	c := rebuild.Cell{
		CellState: stock.CellState{
			Cell: cell, Position: at(1, 9), Balances: stock.Balances{Avail: 3, Sold: 2, Total: 5}, Loaded: true, Fenced: true, Breached: true,
		},
		Revoked: []stock.Reservation{{ID: reservation(2), Cell: cell, Quantity: 3}, {ID: reservation(3), Cell: cell, Quantity: 4}},
	}
	events := c.Rebase("test")
	var revoked []stock.ReservationID
	for i := range events {
		if events[i].Kind == event.KindRevoke {
			revoked = append(revoked, events[i].Reservation)
		}
	}
	if !slices.Equal(revoked, []stock.ReservationID{reservation(2)}) {
		t.Errorf("events say that %v are revoked, want the one that fits", revoked)
	}
	if c.Fenced || c.Breached || !c.Loaded || c.Balances != (stock.Balances{Avail: 3, Sold: 2, Total: 5}) {
		t.Errorf("afterwards %+v", c.CellState)
	}
}

// TestLossIsBoundAfterAReturn lacks the event of one purchase and has the return of another: the returned units are not
// those of the unknown buyer.
func TestLossIsBoundAfterAReturn(t *testing.T) {
	t.Parallel()
	events := []event.Event{
		{Kind: event.KindAdjust, Reservation: reservation(1), Position: at(1, 1), Avail: 9, Change: event.Change{Delta: 9}},
		{Kind: event.KindDeduct, Reservation: reservation(2), User: 7, Quantity: 3, Position: at(1, 2), Avail: 6, Sold: 3},
		// a deduction of 4 units is missing
		{Kind: event.KindReturn, Reservation: reservation(4), User: 7, Quantity: 3, Position: at(1, 4), Avail: 5, Sold: 4},
	}
	f := rebuild.New(rebuild.Cell{}, nil)
	for i := range events {
		events[i].Cell = stock.Cell{SKU: 1001}
		if err := f.Add(&events[i], startMS); err != nil {
			t.Fatal(err)
		}
	}
	if c := f.End(); c.Lost != (rebuild.Loss{Events: 1, Units: 4}) {
		t.Errorf("lost %+v, want 4 units of one event", c.Lost)
	}
}

// Without its first event nobody knows a cell's settings: with a hold of 0, each reservation would expire at once.
func TestUnknownSettingsFreeze(t *testing.T) {
	t.Parallel()
	reserve := event.Event{
		Kind: event.KindReserve, Reservation: stock.ReservationID{1}, User: 1, Quantity: 1, Cell: stock.Cell{SKU: 1},
		Position: stock.Position{Epoch: 1, Seq: 2}, Avail: 9, Held: 1, DeadlineMS: startMS + 1,
	}
	f := rebuild.New(rebuild.Cell{}, nil)
	if err := f.Add(&reserve, startMS); err != nil {
		t.Fatal(err)
	}
	if c := f.End(); !c.Frozen || c.Hold != stock.HoldDefault || c.Avail != 9 || len(c.Held) != 1 {
		t.Errorf("got %+v", c)
	}
}
