package reconcile_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// A vetting makes held the sum of the holds, and avail the rest: a shift by what a breach before it moved would sell units twice.
func TestNoShiftOfHeldOnceItWasVetted(t *testing.T) {
	t.Parallel()
	for _, edit := range []stock.Balances{{Avail: 2}, {Avail: -2, Held: 2}} {
		w := newWorld(t, 1, 1)
		w.take(event.KindReserve)
		w.take(event.KindReserve)
		settings := stock.Settings{Hold: time.Minute}
		w.adjust(1, settings)
		found := &w.events[len(w.events)-1]
		found.Avail, found.Held = found.Avail+edit.Avail, found.Held+edit.Held
		w.happen(event.KindRebase, stock.Reservation{}, edit.Held, -edit.Held, 0, event.Change{From: found.Position, Settings: settings, Reason: "test"})
		r := w.read(true)
		r.From, r.Events = stock.Position{}, w.events
		steps := w.judge(r).Steps
		at := slices.IndexFunc(steps, func(s reconcile.RepairStep) bool { return s.Act.Shift != nil })
		if at < 0 || (steps[at].Refused != "") != (edit.Held != 0) {
			t.Errorf("%+v: %+v", edit, steps)
		}
	}
}

// A shift moves what all breaches have come to, and tells so many units.
func TestAShiftTellsAllItsUnits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	for range 2 {
		w.adjust(1, stock.Settings{Hold: time.Minute})
		w.events[len(w.events)-1].Avail += 4
	}
	r := w.read(true)
	r.From, r.Events = stock.Position{}, w.events
	found := w.judge(r)
	at := slices.IndexFunc(found.Steps, func(s reconcile.RepairStep) bool { return s.Act.Shift != nil })
	if at < 0 || found.Steps[at].Act.Shift.Avail != -8 || found.Steps[at].Units != 8 {
		t.Errorf("want a shift of 8 units: %+v", found.Steps)
	}
}

// Where a cell has no room for the step of its counters, another step is not refused in its place.
func TestAShiftWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	r := w.read(true)
	r.Redis.Avail += 2
	r.Known = stock.Position{Epoch: r.Redis.Epoch, Seq: r.Redis.Seq + 1} // a lost tail: the shift is refused
	for i := range 5000 {
		r.Records = append(r.Records, stock.Reservation{
			ID: stock.ReservationID{9, byte(i >> 8), byte(i)}, State: stock.StateHeld, Cell: r.Cell, User: 77, Quantity: 1, Seq: 1,
		})
	}
	orphans := 0
	for _, s := range w.judge(r).Steps {
		if s.Type == reconcile.OrphanReservation {
			if orphans++; s.Refused != "" {
				t.Errorf("%s: %s", s.Does, s.Refused)
			}
		}
	}
	if orphans == 0 {
		t.Error("no orphan has a step")
	}
}

// A hold that is restored after it was extended has no more time to be given.
func TestARestoredHoldIsNotExtendedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	w.take(event.KindReserve)
	w.extend()
	r := w.read(true)
	r.From, r.Events, r.Records, r.Buyers = stock.Position{}, w.events, nil, nil
	r.Redis.ExtendMax = 9 * time.Second
	found := w.judge(r)
	at := slices.IndexFunc(found.Steps, func(s reconcile.RepairStep) bool { return s.Act.Record != nil })
	if at < 0 || found.Steps[at].Act.Record.Wanted.ExtendedMS != 9000 {
		t.Errorf("want a hold with 9 s used: %+v", found.Steps)
	}
}

// However many gaps a cell has, a step about them fits into its row of the table of repairs, which has room for 64 KiB.
func TestStepOfManyGapsFitsItsRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 8000)
	r := w.read(true)
	r.From = stock.Position{}
	r.Events = nil
	for i := 0; i < len(w.events); i += 2 {
		r.Events = append(r.Events, w.events[i])
	}
	for _, s := range w.judge(r).Steps {
		if act, err := json.Marshal(s.Act); err != nil || len(act) > 1<<16-1 {
			t.Errorf("%s of %d bytes, %v", s.Type, len(act), err)
		} else if s.Act.Events != nil {
			return
		}
	}
	t.Error("no step is about the gaps")
}
