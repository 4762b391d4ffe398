package reconcile_test

import (
	"slices"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// seen returns the view of a world at rest, with all its events.
func (w *world) seen() *reconcile.View {
	v := &w.read(true).View
	v.From = stock.Position{}
	v.Events = slices.Clone(w.events)
	return v
}

// Redis is in an epoch, and no store has an event of it. All missing events are of that epoch, and nobody knows where the
// epoch before ended.
func TestEpochWithoutEventsIsMissingFromItsBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 6)
	v := w.seen()
	v.Redis.Position = stock.Position{Epoch: 2, Seq: 9}
	j := reconcile.Judge(v)
	i := slices.IndexFunc(j.Findings, func(f reconcile.Finding) bool { return f.Type == reconcile.Gap })
	if i < 0 {
		t.Fatalf("no gap: %+v", j.Findings)
	}
	if p := j.Findings[i].Proof[0]; p.Epoch != 2 || p.Seq != 1 || j.Findings[i].Units != 0 {
		t.Errorf("%d units from %d.%d on are missing, want none from 2.1 on", j.Findings[i].Units, p.Epoch, p.Seq)
	}
	k := slices.IndexFunc(j.Steps, func(s reconcile.RepairStep) bool { return s.Act.Events != nil })
	if k < 0 || !slices.Equal(j.Steps[k].Act.Events.Spans, []reconcile.SeqSpan{{Epoch: 2, First: 1, Last: 9}}) {
		t.Errorf("%+v", j.Steps)
	}
}

// Nobody knows which of two events at one position was real. So neither that position nor the next one proves edited
// counters.
func TestForkedPlacesTellNothingOfCounters(t *testing.T) {
	t.Parallel()
	for _, at := range []uint64{3, 4} {
		w := newWorld(t, 1, 8)
		v := w.seen()
		v.Letters = []reconcile.Letter{{ID: "a", Reason: "fork", Position: stock.Position{Epoch: 1, Seq: at}, TimeMS: startMS}}
		for i := range v.Events { // the real history of the cell had two units less from seq 4 on
			if v.Events[i].Seq > 3 {
				v.Events[i].Avail -= 2
			}
		}
		v.Redis.Avail, v.Redis.Total = v.Redis.Avail-2, v.Redis.Total-2
		v.Projection.Avail, v.Projection.Total = v.Projection.Avail-2, v.Projection.Total-2
		if got := brief(reconcile.Judge(v)); !slices.Equal(got, []string{"drift", "fork, 0, oversell"}) && !slices.Equal(got, []string{"drift", "fork, 0, undersell"}) {
			t.Errorf("a fork at 1.%d: %q", at, got)
		}
		v.Letters = nil
		if got := brief(reconcile.Judge(v)); !slices.Contains(got, "counter_edit, 2, undersell") {
			t.Errorf("without a fork: %q", got)
		}
	}
}

// A walk keeps the reservations that it left held, and no others: their number is bounded, and a cell has many that ended.
func TestWalkKeepsOpenReservationsOnly(t *testing.T) {
	t.Parallel()
	walked := 0
	seeds(t, 50, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorld(t, seed, 60)
		v := w.seen()
		v.Rows = nil // so each open one is unlisted
		v.Shorten(w.events[len(w.events)-1].Position, 10)
		if v.From.Seq == 0 {
			return
		}
		walked++
		want, got := map[stock.ReservationID]bool{}, map[stock.ReservationID]bool{}
		for _, r := range w.states[v.From.Seq-2] {
			if r.State == stock.StateHeld {
				want[r.ID] = true
			}
		}
		for _, e := range v.Unlisted() {
			got[e.Reservation] = true
		}
		if len(got) != len(want) {
			t.Errorf("%d open, want %d", len(got), len(want))
		}
		for id := range want {
			if !got[id] {
				t.Errorf("%v is held, and not open", id)
			}
		}
	})
	if walked == 0 {
		t.Error("no walk")
	}
}

// A record has no epoch, and its event is looked for in the last 100. Of one from before, nobody says that no event tells of it.
func TestRecordsOfOldEpochsAreUnverified(t *testing.T) {
	t.Parallel()
	for epoch, want := range map[uint32][]string{
		150: {"unverified", "unverifiable, 0, bookkeeping"},
		50:  {"drift", "leaked_hold, 2, undersell", "orphan_reservation, 2, oversell"},
	} {
		w := newWorld(t, 1, 1)
		e := w.events[0]
		e.Kind, e.Position, e.Avail, e.Held = event.KindRebase, stock.Position{Epoch: epoch, Seq: 10}, 8, 2
		e.Change = event.Change{From: stock.Position{Epoch: epoch - 1, Seq: 9}, Settings: stock.Settings{Hold: time.Minute}, Reason: "test"}
		state := stock.CellState{Cell: w.cell, Loaded: true, Position: e.Position, Balances: balances(&e)}
		r := stock.Reservation{ID: stock.ReservationID{15: 1}, State: stock.StateHeld, Cell: w.cell, User: 1, Quantity: 2, Seq: 3}
		j := reconcile.Judge(&reconcile.View{
			Cell: w.cell, NowMS: startMS, Redis: &state, Known: e.Position, From: e.Position, Events: []reconcile.Event{e},
			Projection: &reconcile.State{Position: e.Position, Balances: state.Balances}, Records: []stock.Reservation{r},
		})
		if got := brief(j); !slices.Equal(got, want) {
			t.Errorf("in epoch %d: %q, want %q", epoch, got, want)
		}
	}
}
