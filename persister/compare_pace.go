package persister

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"sluice/core/lifecycle"
)

// How much a comparison rests, in times of its work. Looks at changed cells, and the pass through older rows, take a
// fortieth of one worker's time each. A sweep begins with a thirteenth. If it compares up to sweptMany cells and held
// reservations, it rests less the longer it takes: so few cost little, so the machine is busy with others, and the
// result is due. A larger sweep keeps to a thirteenth and takes longer.
const (
	restMost  = 39
	restSweep = 12
	restMin   = 2 * time.Millisecond // shorter rests are saved up
	sweptMany = 200_000
)

// pacer spreads work over time, so that it leaves others undisturbed.
type pacer struct {
	times  float64       // a rest is so many times as long as the work before it, at first
	budget time.Duration // after which there are no rests; 0: they stay as long
	large  atomic.Bool   // there is more to compare than fits into the budget: rests stay as long
	now    func() time.Time
	begun  time.Time
	owed   time.Duration // rest that has not been taken
}

// newPacer spreads work that nobody waits for.
func newPacer(now func() time.Time) *pacer { return &pacer{times: restMost, now: now, begun: now()} }

// sweepPacer spreads a sweep. compared is the number of cells and reservations that the last sweep that could read everything has
// compared.
func sweepPacer(within time.Duration, compared int64, now func() time.Time) *pacer {
	p := &pacer{times: restSweep, budget: sweepBudget(within), now: now, begun: now()}
	p.saw(compared)
	return p
}

// saw notes how much there is to compare, as far as it is known.
func (p *pacer) saw(compared int64) {
	if compared > sweptMany {
		p.large.Store(true)
	}
}

// note takes work that has been done.
func (p *pacer) note(_ context.Context, worked time.Duration) {
	left := time.Duration(math.MaxInt64)
	times := p.times
	if p.budget > 0 && !p.large.Load() {
		left = max(0, p.budget-p.now().Sub(p.begun))
		times *= float64(left) / float64(p.budget)
	}
	p.owed = min(left, p.owed+time.Duration(times*float64(worked)))
}

// rest takes work that has been done, and rests from it.
func (p *pacer) rest(ctx context.Context, worked time.Duration) {
	p.note(ctx, worked)
	if p.owed >= restMin {
		lifecycle.Pause(ctx, p.owed)
		p.owed = 0
	}
}

// sweepBudget is the time of a sweep in which it rests between pieces of work.
func sweepBudget(within time.Duration) time.Duration { return within / 6 }

// schedule returns the pause after a sweep that took some time, and the time within which a difference is then
// reported. In the worst case it appears just after the sweep has read its cell, and is reported when the next sweep
// ends. So this sweep, the pause, and the next sweep fit into the time that was asked for. The next one may take half as long again,
// or twice its budget: a sale that begins meanwhile makes it slower. Each sweep costs the sale the same, so few short ones with long
// pauses cost less than long ones with short pauses.
func schedule(within, took time.Duration) (pause, period time.Duration) {
	pause = max(0, within-took-max(2*sweepBudget(within), took+took/2))
	return pause, max(within, took+pause+took)
}
