package k6run

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// running is a scenario under way.
type running struct {
	*scenario
	run   *run
	tags  map[string]string
	start time.Time
	next  atomic.Int64 // number of the next iteration
	idle  chan *vu
}

// prepare makes the users of a scenario, with their runtimes, before anything starts.
func (r *run) prepare(s *scenario) (*running, error) {
	p := &running{scenario: s, run: r, tags: map[string]string{"scenario": s.name}}
	for name, value := range s.Tags {
		p.tags[name] = value
	}
	p.idle = make(chan *vu, s.MaxVUs)
	var group errgroup.Group
	group.SetLimit(4)
	for range s.PreAllocatedVUs {
		group.Go(p.hire)
	}
	return p, group.Wait()
}

// hire adds an idle user.
func (p *running) hire() error {
	v, err := p.run.newVU()
	if err == nil {
		v.data = v.parse(p.run.data)
		p.idle <- v
	}
	return err
}

// execute runs the scenario to its end. What is under way then gets gracefulStop to finish.
func (p *running) execute(ctx context.Context) {
	if !pause(ctx, time.Duration(p.StartTime)) {
		return
	}
	p.start = time.Now()
	starting, cancel := context.WithTimeout(ctx, time.Duration(p.Duration))
	defer cancel()
	finishing, interrupt := context.WithTimeout(ctx, time.Duration(p.Duration)+time.Duration(*p.GracefulStop))
	defer interrupt()
	p.arrive(starting, finishing)
}

// arrive starts iterations at their times, whether or not earlier ones are done. Where no user is idle it drops one, and makes
// another user meanwhile, one at a time: k6 does not wait for users that it adds either.
func (p *running) arrive(starting, finishing context.Context) {
	var group sync.WaitGroup
	var hiring atomic.Bool
	times, vus := newArrivals(p.scenario), p.PreAllocatedVUs
	for at, more := times.next(); more && pause(starting, time.Until(p.start.Add(at))); at, more = times.next() {
		select {
		case user := <-p.idle:
			n := p.next.Add(1) - 1
			group.Go(func() {
				user.iterate(finishing, p, n)
				p.idle <- user
			})
			continue
		default:
		}
		p.run.metrics.note("dropped_iterations", 1, p.tags)
		if vus == p.MaxVUs || !hiring.CompareAndSwap(false, true) {
			continue
		}
		vus++
		group.Go(func() {
			if err := p.hire(); err != nil {
				p.run.exception(err)
			}
			hiring.Store(false)
		})
	}
	group.Wait()
}

// pause waits, and returns false if the context ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
