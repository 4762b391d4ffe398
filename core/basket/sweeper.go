package basket

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

const (
	// every is the pause between two looks at a partition.
	every = time.Second
	// UndecidedMax is how long an edge may take to decide a basket that it has begun. Then any sweeper decides it.
	UndecidedMax = 5 * time.Second
	// basketsMax is how many baskets of a partition one look decides.
	basketsMax = 64
	// atOnceMax is how many baskets a process decides at once, of all partitions. If a server does not answer, its
	// baskets keep their places until their calls time out, and others wait.
	atOnceMax = 16
)

// unknown returns the error of a basket that is perhaps begun, and not decided.
func unknown(err error) error {
	//nolint:errorlint // the cause may say that nothing was executed, which is not so of the basket
	return fmt.Errorf("%w: a basket was begun, and is not decided yet: %v", stock.ErrUnknown, err)
}

// Store is the part of stock.Store that a Sweeper needs.
type Store interface {
	Partitions() int
	Do(ctx context.Context, vectors ...*stock.Vector)
	Undecided(ctx context.Context, partition int, age time.Duration, skip, limit int) ([]stock.Undecided, error)
}

// Sweeper decides baskets that an edge has begun and left undecided. Any number of processes may sweep at once.
type Sweeper struct {
	Store Store
	// Publish gets the events, from several goroutines at once. The relay publishes what Publish does not.
	Publish func(stock.Entry)
	Between func(stage string) // see Decide
	Metrics *metrics.Set
	Log     *slog.Logger // Defaults to slog.Default.
}

// Run sweeps until ctx ends, a goroutine for each partition.
func (s *Sweeper) Run(ctx context.Context) {
	partitions := s.Store.Partitions()
	set := cmp.Or(s.Metrics, metrics.NewSet())
	r := run{
		Sweeper: *s, places: make(chan struct{}, atOnceMax),
		failures: set.GetOrCreateCounter("sluice_core_basket_sweep_failures_total"),
		decided:  map[stock.BasketState]*metrics.Counter{},
	}
	r.trouble = lifecycle.NewTroubles(cmp.Or(r.Log, slog.Default()), "decide baskets", "partition", partitions)
	for _, state := range []stock.BasketState{stock.BasketNone, stock.BasketHeld, stock.BasketRefusing, stock.BasketRefused} {
		r.decided[state] = set.GetOrCreateCounter(fmt.Sprintf("sluice_core_basket_swept_baskets_total{state=%q}", state))
	}
	var wg sync.WaitGroup
	for p := range partitions {
		wg.Go(func() { r.watch(ctx, p) })
	}
	wg.Wait()
}

// run is a Sweeper at work.
type run struct {
	Sweeper
	trouble  *lifecycle.Troubles
	places   chan struct{} // one for each basket that is being decided
	decided  map[stock.BasketState]*metrics.Counter
	failures *metrics.Counter
}

// watch looks at a partition again and again. Baskets that cannot be decided now, because a server or a cell of theirs is shut,
// do not keep it from those behind them: it skips them until it has come to the end of the list.
func (r *run) watch(ctx context.Context, partition int) {
	skip := 0
	for {
		if !lifecycle.Pause(ctx, every+rand.N(every/4)) { //nolint:gosec // nothing secret about it
			return
		}
		left, more, err := r.look(ctx, partition, skip)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.failures.Inc()
		}
		if skip += left; !more {
			skip = 0
		}
		r.trouble.Saw(partition, err)
	}
}

// look decides the undecided baskets of a partition, after skipping so many. It tries all of them, and fails if one
// cannot be decided. left is the number that is still undecided, and more says that others may be behind them.
func (r *run) look(ctx context.Context, partition, skip int) (left int, more bool, err error) {
	found, err := r.Store.Undecided(ctx, partition, UndecidedMax, skip, basketsMax)
	if err != nil {
		return 0, false, err
	}
	errs, results := make([]error, len(found)), make([]Result, len(found))
	var wg sync.WaitGroup
	for i := range found {
		if errs[i] = found[i].Err; errs[i] != nil {
			continue
		}
		select {
		case r.places <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return 0, false, ctx.Err()
		}
		wg.Go(func() {
			defer func() { <-r.places }()
			if results[i], errs[i] = Decide(&found[i].Basket, Direct(ctx, r.Store, r.Publish), r.Between); errs[i] == nil {
				r.decided[results[i].State].Inc()
			}
		})
	}
	wg.Wait()
	for i := range found {
		if !results[i].State.Decided() {
			left++
		}
	}
	return left, len(found) == basketsMax, cmp.Or(errs...)
}

// Direct returns how a saga asks a store, each step in one call. publish gets the events.
func Direct(ctx context.Context, store Store, publish func(stock.Entry)) func([]Call) []Answer {
	return func(calls []Call) []Answer {
		answers := make([]Answer, len(calls))
		asked := make([]int, len(calls))
		for i := range asked {
			asked[i] = i
		}
		for _, replicate := range []bool{false, true} {
			if len(asked) == 0 {
				break
			}
			var again []int
			vectors := make([]*stock.Vector, len(asked))
			for k, i := range asked {
				c := &calls[i]
				vectors[k] = &stock.Vector{Op: c.Op, Partition: c.Requests[0].ID.Partition(), Requests: c.Requests, Replicate: replicate}
			}
			store.Do(ctx, vectors...)
			for k, i := range asked {
				v := vectors[k]
				answers[i] = Answer{v.Outcomes, v.TimeMS, v.Err}
				if v.Err == nil && v.Entry.ID != "" {
					publish(v.Entry)
				}
				if refusal, _ := first(v.Outcomes, refuses); v.Err == nil && refusal == stock.VerdictReplicaMissing {
					again = append(again, i) // the level of a cell was not known
				}
			}
			asked = again
		}
		return answers
	}
}
