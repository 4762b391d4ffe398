package persister

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// paced works through pieces as a sweep does, and returns how long that takes.
func paced(t *testing.T, within time.Duration, compared int64, pieces []time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	p := sweepPacer(within, compared, time.Now)
	for _, piece := range pieces {
		time.Sleep(piece)
		p.rest(t.Context(), piece)
	}
	return time.Since(begun)
}

// A sweep whose work takes up to 17 % of the time within which differences are to be reported keeps to that time, however its
// work is cut into pieces and however much each sweep has: from just after one sweep has read a cell until the end of the next.
func TestTwoSweepsFitIntoTheTimeOfReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			within := time.Second + time.Duration(rnd.Int64N(int64(10*time.Minute)))
			var cut []time.Duration
			var before, paused time.Duration
			for sweep := range 4 {
				work := time.Duration(rnd.Float64() * 0.17 * float64(within))
				cut = cut[:0]
				for left := work; left > 0; {
					piece := min(left, time.Millisecond+time.Duration(rnd.Float64()*0.01*float64(within)))
					cut, left = append(cut, piece), left-piece
				}
				took := paced(t, within, sweptMany, cut)
				if sweep > 0 && before+paused+took > within {
					t.Fatalf("seed %d: sweeps of %v and %v with a pause of %v do not fit into %v", seed, before, took, paused, within)
				}
				if share := float64(work) / float64(took+within/1000); took < within/30 && share > 0.1 {
					t.Fatalf("seed %d: a short sweep works for %v of %v", seed, work, took)
				}
				var period time.Duration
				if paused, period = schedule(within, took); period != within {
					t.Fatalf("seed %d: after a sweep of %v the metrics say %v of %v", seed, took, period, within)
				}
				before = took
			}
		}
	})
}

// A sweep of many cells rests all the time, and the metrics say within which time a difference is reported.
func TestLargeSweepsTakeLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pieces := make([]time.Duration, 1000)
		for i := range pieces {
			pieces[i] = 10 * time.Millisecond
		}
		took := paced(t, time.Minute, sweptMany+1, pieces)
		if want := 13 * 10 * time.Second; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
		p := sweepPacer(time.Minute, 0, time.Now) // one that was small
		p.saw(sweptMany + 1)
		begun := time.Now()
		for _, piece := range pieces {
			time.Sleep(piece)
			p.rest(t.Context(), piece)
		}
		if again := time.Since(begun); again != took {
			t.Errorf("a sweep that turns out to be large took %v, want %v", again, took)
		}
		if pause, period := schedule(time.Minute, took); pause != 0 || period != 2*took {
			t.Errorf("pauses for %v, and reports within %v", pause, period)
		}
	})
}
