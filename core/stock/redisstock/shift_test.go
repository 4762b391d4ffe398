package redisstock_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// shiftOf is a shift of a cell in an epoch, by nothing. Its key is the epoch.
func shiftOf(cell stock.Cell, epoch uint32) *redisstock.Shift {
	id := stock.Identity{Cell: cell, Route: stock.OpAdjust, Key: "shift " + strconv.Itoa(int(epoch))}.ID(stock.PartitionsDefault)
	return &redisstock.Shift{ID: id, Cell: cell, Epoch: epoch, Reason: "edited by hand"}
}

// shift does a shift, and wants an answer.
func (s *shop) shift(r *redisstock.Shift, want redisstock.Shifted) stock.Position {
	s.Helper()
	became, at, made, err := s.Shift(s.Context(), r)
	if err != nil || became != want {
		s.Errorf("shift of %v in epoch %d: %d (%v), want %d", r.Cell, r.Epoch, became, err, want)
	}
	if b, err := event.Decode(made.Data); became == redisstock.ShiftDone && (err != nil || b.Events[0].Position != at || made.ID == "") || became != redisstock.ShiftDone && made.ID != "" {
		s.Errorf("shift of %v in epoch %d: made entry %q with %+v (%v), want the event at %v", r.Cell, r.Epoch, made.ID, b, err, at)
	}
	return at
}

// add adds units to fields of a cell by hand. Each field is named by the place of its last byte.
func (s *shop) add(cell stock.Cell, units int64, ends ...int) {
	s.Helper()
	edit(s.TB, s.client, cell, func(value []byte) {
		for _, end := range ends {
			addUnits(value[:end+1], units)
		}
	})
}

// Places of the last bytes of two more fields.
const (
	soldEnd  = 15
	totalEnd = 26
)

// TestShift takes units away that somebody has added by hand, while sales go on.
func TestShift(t *testing.T) {
	t.Parallel()
	s, _, _ := opened(t)
	settings := stock.Settings{Limit: 5, Frozen: true, ExtendMax: time.Minute}
	cell := s.load(10, stock.Settings{Limit: 5, ExtendMax: time.Minute})
	p := partition(cell)
	s.reserve(cell, 1, 2)
	s.add(cell, 3, availEnd, totalEnd)
	s.add(cell, 2, heldEnd, totalEnd)
	s.add(cell, 1, soldEnd, totalEnd)
	s.one(stock.OpDeduct, take(stock.OpDeduct, cell, 2, 1)) // between the plan and the shift
	s.one(stock.OpAdjust, adjustment(cell, "freeze", stock.Adjustment{Fields: stock.FieldFrozen, Settings: stock.Settings{Frozen: true}}))
	before := s.state(cell)
	settings.Hold = before.Hold

	r := shiftOf(cell, 1)
	r.Avail, r.Held, r.Sold = -3, -2, -1
	s.unchanged(p, "it is in another epoch", func() {
		other := *r
		other.Epoch = 2
		s.shift(&other, redisstock.ShiftRefused)
	})
	earliest := s.now()
	at := s.shift(r, redisstock.ShiftDone)
	got := s.state(cell)
	want := before
	want.Balances = stock.Balances{Avail: 7, Held: 2, Sold: 1, Total: 10}
	want.Position = stock.Position{Epoch: 2, Seq: before.Seq + 1}
	want.Settings = settings
	if diff := cmp.Diff(want, got); diff != "" || at != got.Position {
		t.Errorf("it tells of %v (-want +got):\n%s", at, diff)
	}
	events := s.tell(p)[cell]
	e := events[len(events)-1]
	wantEvent := event.Event{
		Kind: event.KindRebase, Reservation: r.ID, Cell: cell, Position: got.Position, Avail: 7, Held: 2, Sold: 1,
		Change: event.Change{From: before.Position, Fields: ^stock.Fields(0), Settings: settings, Reason: r.Reason},
	}
	if diff := cmp.Diff(wantEvent, e.Event); diff != "" || e.Check() != nil {
		t.Errorf("its event does not pass (%v), or is another one (-want +got):\n%s", e.Check(), diff)
	}
	if got := s.record(r.ID); got.State != stock.StateAdjusted || got.Seq != at.Seq || got.Cell != cell {
		t.Errorf("its record is %+v", got)
	}
	retention := (24 * time.Hour).Milliseconds()
	if at := s.scores(redisstock.GoneKey(p))[string(r.ID[:])]; at < earliest+retention || at > s.now()+retention {
		t.Errorf("it is forgotten at %d, want %d from %d on", at, retention, earliest)
	}
	s.unchanged(p, "it was done twice", func() {
		if again := s.shift(r, redisstock.ShiftReplayed); again != at {
			t.Errorf("the same shift is now at %v, want %v", again, at)
		}
		another := *shiftOf(cell, 3)
		another.Epoch = 1
		s.shift(&another, redisstock.ShiftRefused)
	})
	if marks := s.Marks()[p]; marks.Effects != uint64(len(events)) {
		t.Errorf("%d effects are counted, want one for each of %d events", marks.Effects, len(events))
	}
}

// TestShiftRefuses leaves a cell alone that lacks events, is not there, or has sold too much.
func TestShiftRefuses(t *testing.T) {
	t.Parallel()
	s, _, _ := opened(t)
	cell := s.load(10, stock.Settings{})
	held := s.reserve(cell, 1, 2)
	s.one(stock.OpConfirm, stock.Request{ID: s.reserve(cell, 2, 1).ID})
	p := partition(cell)
	for what, r := range map[string]redisstock.Shift{
		"avail": {Avail: -8}, "held": {Held: -3}, "sold": {Sold: -2}, "all but avail": {Avail: 1, Held: -3, Sold: -2},
	} {
		with := *shiftOf(cell, 1)
		with.Avail, with.Held, with.Sold = r.Avail, r.Held, r.Sold
		s.unchanged(p, what+" is below 0", func() { s.shift(&with, redisstock.ShiftNegative) })
	}
	fine := shiftOf(cell, 1)
	fine.Avail = -1
	for name, key := range map[string]string{"gone": redisstock.GoneKey(p), "outbox": redisstock.OutboxKey(p)} {
		dump, err := s.run("DUMP", key).ToString()
		if err != nil {
			dump = ""
		}
		s.must("DEL", key)
		s.must("SET", key, "of another type")
		s.unchanged(p, "it wrote before it failed at "+name, func() {
			if became, _, _, err := s.Shift(t.Context(), fine); err == nil {
				t.Errorf("%s of another type: %v", name, became)
			}
		})
		s.must("DEL", key)
		if dump != "" {
			s.must("RESTORE", key, "0", dump)
		}
	}
	s.shift(shiftOf(newCell(), 1), redisstock.ShiftRefused)
	behind := take(stock.OpReserve, cell, 3, 1)
	behind.Fence = stock.Position{Epoch: 1, Seq: 99}
	if got := s.one(stock.OpReserve, behind).Verdict; got != stock.VerdictFenced {
		t.Fatalf("the cell is %v, want fenced", got)
	}
	s.unchanged(p, "it lacks events", func() { s.shift(fine, redisstock.ShiftRefused) })
	if got := s.record(held.ID).State; got != stock.StateHeld {
		t.Errorf("the reservation is %v", got)
	}
}

// TestShiftOpensABreach opens a cell whose counters did not add up.
func TestShiftOpensABreach(t *testing.T) {
	t.Parallel()
	s, _, _ := opened(t)
	cell := s.load(10, stock.Settings{})
	s.add(cell, 4, heldEnd)
	if got := s.one(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)).Verdict; got != stock.VerdictBreached {
		t.Fatalf("the cell is %v, want breached", got)
	}
	r := shiftOf(cell, 1)
	r.Held = -4
	s.shift(r, redisstock.ShiftDone)
	s.reserve(cell, 2, 1)
	if got := s.state(cell).Balances; got != (stock.Balances{Avail: 9, Held: 1, Total: 10}) {
		t.Errorf("%+v", got)
	}
}
