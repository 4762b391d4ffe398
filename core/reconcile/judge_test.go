package reconcile_test

import (
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// Events under way are no drift, wherever in the history the counters were read.
func TestWhatIsUnderWayIsNoDrift(t *testing.T) {
	t.Parallel()
	flying := 0
	seeds(t, 3000, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorld(t, seed, 1+int(seed%60))
		r := w.read(seed%4 == 0)
		found := w.judge(r)
		if len(found.Findings) > 0 {
			t.Errorf("%s at %d of %d: %+v", found.Class, r.cut, len(w.events), found.Findings)
		}
		if want := map[bool]reconcile.Class{true: reconcile.InFlight, false: reconcile.InSync}[found.Behind > 0]; found.Class != want {
			t.Errorf("%s with %d events under way", found.Class, found.Behind)
		}
		flying += int(found.Behind)
	})
	if flying == 0 {
		t.Error("nothing was ever under way")
	}
}

// Differences before a rebase were dealt with: they are no drift, wherever the counters and the ledger stand.
// Differences that show up later are.
func TestRebasesAreNoDrift(t *testing.T) {
	t.Parallel()
	late := 0
	seeds(t, 3000, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorldOf(t, seed, 1+int(seed%200), true)
		r := w.read(seed%4 == 0)
		if found := w.judge(r); len(found.Findings) > 0 {
			t.Errorf("%s at %d of %d: %+v", found.Class, r.cut, len(w.events), found.Findings)
		}
		for i := range r.Events {
			e := r.Events[i]
			if e.Kind != event.KindRebase || r.Redis.Less(e.Position) || e.Change.From.Less(r.From) {
				continue
			}
			lost := w.events[0]
			lost.Position, lost.Store = stock.Position{Epoch: e.Change.From.Epoch, Seq: e.Change.From.Seq + 1}, reconcile.InKafka
			r.Events = append(r.Events, lost)
			if found := w.judge(r); len(found.Findings) != 1 || found.Findings[0].Type != reconcile.Fork {
				t.Errorf("with an event from before a rebase: %+v", found.Findings)
			}
			late++
			break
		}
	})
	if late == 0 {
		t.Error("no event ever came late")
	}
}

// A gap that a rebase ended is no gap.
func TestGapsEndAtARebase(t *testing.T) {
	t.Parallel()
	gaps := 0
	seeds(t, 1000, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorldOf(t, seed, 20+int(seed%40), true)
		r := w.read(true)
		for i, e := range w.events {
			if e.Kind == event.KindRebase && i > 2 && w.events[i-2].Kind.Adjusts() && r.From.Less(w.events[i-2].Position) && w.events[i-1].Kind != event.KindRebase {
				w.without(r, i-2)
				gaps++
				break
			}
		}
		if found := w.judge(r); len(found.Findings) > 0 {
			t.Errorf("%+v", found.Findings)
		}
	})
	if gaps == 0 {
		t.Error("there never was a gap")
	}
}

// Each difference that is made by hand is found, as the one that it is: its type and no other, its size and its direction.
func TestInjectedDriftIsFoundAsWhatItIs(t *testing.T) {
	t.Parallel()
	for kind, ways := range injections {
		for name, inject := range ways {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				t.Parallel()
				made := 0
				seeds(t, 400, func(t *testing.T, seed uint64) {
					t.Helper()
					w := newWorld(t, seed, 2+int(seed%60))
					r := w.read(seed%3 == 0)
					units, way, ok := inject(w, r)
					if !ok {
						return
					}
					made++
					found := w.judge(r)
					if len(found.Findings) != 1 {
						t.Errorf("at %d of %d, from %d: want one %s: %+v", r.cut, len(w.events), r.From.Seq, kind, found.Findings)
						return
					}
					f := found.Findings[0]
					if f.Type != kind || f.Units != units || f.Direction != way || f.Cell() != w.cell {
						t.Errorf("at %d of %d: want %s of %d units, %s: %+v", r.cut, len(w.events), kind, units, way, f)
					}
					if f.Repair == "" || len(f.Proof) == 0 || f.Since < startMS {
						t.Errorf("not proven: %+v", f)
					}
				})
				if made < 20 {
					t.Errorf("made %d times only", made)
				}
			})
		}
	}
}

// Units in transit are looked at once the transfer must have ended.
func TestUnitsInTransit(t *testing.T) {
	t.Parallel()
	transit := reconcile.Transit{Departure: stock.Departure{From: stock.Cell{SKU: 5}, Units: 3}, SinceMS: startMS, Retention: time.Hour}
	if f := reconcile.JudgeTransit(&transit, startMS+59_999); f != nil {
		t.Errorf("under way: %+v", f)
	}
	f := reconcile.JudgeTransit(&transit, startMS+60_000)
	if f == nil || f.Type != reconcile.TransitStuck || f.Units != 3 || f.Direction != reconcile.Undersell || f.SKU != 5 || f.Since != startMS {
		t.Errorf("stuck: %+v", f)
	}
	if f := reconcile.JudgeTransit(&transit, startMS+55*60_000); f != nil {
		t.Errorf("Redis may be forgetting both halves: %+v", f)
	}
	forgotten := transit
	if forgotten.Forgotten = true; reconcile.JudgeTransit(&forgotten, startMS+60_000) != nil {
		t.Error("Redis has forgotten the half that took units out")
	}
	if transit.Arrived = true; reconcile.JudgeTransit(&transit, startMS+60_000) != nil {
		t.Error("arrived")
	}
}
