package persister

import (
	"context"
	"time"

	"sluice/core/lifecycle"
)

// How much a comparison rests, in times of its work. Looks at what has changed, and the pass through older rows, take a fortieth
// of one worker's time each, and a sweep at the most a thirteenth. A sweep of up to sweptMany cells that cannot end in its time so
// rests less after that time: its work takes long because the machine is busy with others. A sweep of more cells takes longer.
const (
	restMost  = 39
	restSweep = 12
	restLate  = 1
	restMin   = 2 * time.Millisecond // shorter rests are saved up
	sweptMany = 100_000
)

// pacer spreads work over time, as much as leaves others undisturbed.
type pacer struct {
	times  float64       // a rest is so many times as long as the work before it
	late   time.Duration // after which the rests are short; 0: never
	worked time.Duration // in all
	rested time.Duration // in all
	owed   time.Duration // rest that has not been taken
}

// newPacer spreads work that nobody waits for.
func newPacer() *pacer { return &pacer{times: restMost} }

// sweepPacer spreads a sweep over a budget of time, by how much work the last one was (0: nobody knows), and of how many cells.
func sweepPacer(budget, worked time.Duration, cells int64) *pacer {
	p := &pacer{times: restSweep}
	if worked > 0 {
		p.times = min(restMost, max(restSweep, float64(budget)/float64(worked)-1))
	}
	if cells <= sweptMany {
		p.late = budget
	}
	return p
}

// note takes work that has been done.
func (p *pacer) note(_ context.Context, worked time.Duration) {
	times := p.times
	if p.late > 0 && p.worked+p.rested > p.late {
		times = restLate
	}
	p.worked += worked
	p.owed += time.Duration(times * float64(worked))
}

// rest takes work that has been done, and rests from it.
func (p *pacer) rest(ctx context.Context, worked time.Duration) {
	p.note(ctx, worked)
	if p.owed >= restMin {
		lifecycle.Pause(ctx, p.owed)
		p.rested += p.owed
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
