package compare

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bench/baseline"
	"sluice/bench/report"
)

// What a purchase costs is the time that processes used in a turn, and not before it.
func TestRunCountsTheCPUOfTurns(t *testing.T) {
	t.Parallel()
	before := map[string]time.Duration{"client": 5 * time.Second, "server": time.Minute}
	after := map[string]time.Duration{"client": 6 * time.Second, "server": time.Minute + time.Second/2}
	used := since(before, after)
	row := Row{latency: report.NewHistogram()}
	row.add(&turn{latency: report.NewHistogram(), length: time.Second, accepted: 1000, measured: 900, cpu: used}, 0)
	if got := row.Turns[0]; got.CPU["client"] != 1000 || got.CPU["server"] != 500 || got.PerSecond != 900 {
		t.Errorf("%+v", got)
	}
}

// Only what is sold between the warm-up and the end of a turn counts for its rate, and only what began after the warm-up for its times.
func TestClerkCountsWhatIsInTime(t *testing.T) {
	t.Parallel()
	f := func(name string, from, to, until time.Duration, measured, timed int64) {
		t.Helper()
		n, now := 0, time.Now()
		c := clerk{turn: &turn{number: new(atomic.Int64)}, from: now.Add(from), to: now.Add(to), latency: report.NewHistogram()}
		c.serve(t.Context(), buyerFunc(func() (bool, error) {
			if n++; n > 1 {
				return false, nil
			}
			time.Sleep(time.Until(now.Add(until)))
			return true, nil
		}))
		if c.accepted != 1 || c.measured != measured || c.latency.TotalCount() != timed {
			t.Errorf("%s: %d sold, %d measured, %d timed", name, c.accepted, c.measured, c.latency.TotalCount())
		}
	}
	const soon, later = time.Second, time.Second + 10*time.Millisecond
	f("in time", -time.Minute, time.Minute, 0, 1, 1)
	f("in the warm-up", time.Minute, 2*time.Minute, 0, 0, 0)
	f("begun in the warm-up", soon, time.Minute, later, 1, 0)
	f("too late", -time.Minute, soon, later, 0, 1)
}

type buyerFunc func() (bool, error)

func (buyerFunc) Close() {}

func (b buyerFunc) Buy(context.Context, baseline.Order) (bool, error) { return b() }

func TestSpreadHasTheMedian(t *testing.T) {
	t.Parallel()
	for want, values := range map[Spread][]float64{
		{}: nil, {2, 2, 2}: {2}, {2, 1, 3}: {3, 1}, {2, 1, 9}: {9, 1, 2}, {2.5, 1, 4}: {4, 1, 3, 2},
	} {
		if got := spreadOf(values); got != want {
			t.Errorf("%v: %+v, want %+v", values, got, want)
		}
	}
}
