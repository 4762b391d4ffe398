package persister

import (
	"context"
	"time"

	"sluice/core/lifecycle"
)

// How much a comparison rests, in times of its work. On two cores all comparisons together take about a twentieth of the time at
// the most: the sweep a thirteenth of one core, looks at what has changed and the pass through older rows a fortieth each. A
// sweep of few cells rests longer than it must.
const (
	restSweepMost  = 39
	restSweepLeast = 12
	restOthers     = 39
	restMin        = 2 * time.Millisecond // shorter rests are saved up
)

// pacer spreads work over time, as much as leaves others undisturbed.
type pacer struct {
	times  float64       // a rest is so many times as long as the work before it
	worked time.Duration // in all
	owed   time.Duration // rest that has not been taken
}

// newPacer spreads a sweep, whose work is expected to take some time (0: nobody knows), over a budget of time.
func newPacer(budget, expected time.Duration) *pacer {
	switch {
	case budget == 0:
		return &pacer{times: restOthers}
	case expected == 0:
		return &pacer{times: restSweepLeast}
	}
	return &pacer{times: min(restSweepMost, max(restSweepLeast, float64(budget)/float64(expected)-1))}
}

// note takes work that has been done.
func (p *pacer) note(_ context.Context, worked time.Duration) {
	p.worked += worked
	p.owed += time.Duration(p.times * float64(worked))
}

// rest takes work that has been done, and rests from it.
func (p *pacer) rest(ctx context.Context, worked time.Duration) {
	p.note(ctx, worked)
	if p.owed >= restMin {
		lifecycle.Pause(ctx, p.owed)
		p.owed = 0
	}
}

// schedule is how long to pause after a sweep that took some time, and within which time a difference is found then. It is
// found by the sweep that reads its cell next, and reported when that ends. So two sweeps, with a pause between them, fit
// into the time that was asked for, or the time is longer.
func schedule(within, took time.Duration) (pause, period time.Duration) {
	margin := within / 12
	if pause = within - margin - 2*took; pause >= 0 {
		return pause, within
	}
	return 0, 2*took + margin
}
