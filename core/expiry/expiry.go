// Package expiry gives the units of reservations that nobody confirmed in time back, and removes the
// records of reservations whose retention has ended. It decides nothing: the store does, by its own
// clock, so any number of processes may sweep at once without a leader.
package expiry

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/event"
	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/core/telemetry"
)

const (
	// every is the longest time between two looks at a partition, so that a reservation with a shorter hold
	// than those before it is noticed in time too. More delays units that come back; less costs the store a
	// cheap call per partition and look.
	every = 250 * time.Millisecond

	// failingEvery is that where two looks in a row have failed: Redis that nobody has vetted may stay shut for long.
	failingEvery = time.Second

	callsAtOnceMax    = 4    // to a node; they stand in the way of shoppers, so few; but more than one shares its way
	reservationsMax   = 1024 // of one call
	betweenForgetting = time.Second
)

// Store is what a Sweeper needs of a stock.Store.
type Store interface {
	Partitions() int
	NodeOf(partition int) (string, error)
	Expire(ctx context.Context, partition, limit int) (stock.Sweep, error)
	Forget(ctx context.Context, partition, limit int) (int, error)
}

// Sweeper sweeps all partitions of a store.
type Sweeper struct {
	Store Store
	// Publish is handed the events of what expired, from several goroutines at once. What it does not
	// publish, the relay will.
	Publish func(stock.Entry)
	Metrics *metrics.Set
	Log     *slog.Logger // Defaults to slog.Default.
}

// Run sweeps until ctx ends, a goroutine for each partition.
func (s *Sweeper) Run(ctx context.Context) error {
	r := s.newRun()
	var wg sync.WaitGroup
	for i := range r.watches {
		wg.Go(func() { r.watch(ctx, i) })
	}
	wg.Wait()
	return nil
}

// run is a Sweeper at work.
type run struct {
	Sweeper
	watches []watch
	phase   time.Time // all partitions are looked at together at phase + n·every
	trouble *lifecycle.Troubles

	mu     sync.Mutex
	places map[string]chan struct{} // by node, one for each call to it that may be under way

	expired, forgotten, failures *metrics.Counter
	late                         *metrics.PrometheusHistogram
}

// watch is what is known of a partition.
type watch struct {
	// dueMS is the local time, in Unix milliseconds, since when or at which the oldest reservation that
	// is known is due; 0 if there is none.
	dueMS atomic.Int64
	// Of the partition's own goroutine:
	forgetAt time.Time
}

func (s *Sweeper) newRun() *run {
	r := &run{
		Sweeper: *s,
		watches: make([]watch, s.Store.Partitions()),
		phase:   time.Now().Add(-rand.N(every)), //nolint:gosec // nothing secret about it
		places:  map[string]chan struct{}{},
	}
	r.Log = cmp.Or(r.Log, slog.Default())
	r.trouble = lifecycle.NewTroubles(r.Log, "sweep reservations", "partition", len(r.watches))
	set := cmp.Or(r.Metrics, metrics.NewSet())
	r.expired = set.GetOrCreateCounter("sluice_core_expiry_expired_reservations_total")
	r.forgotten = set.GetOrCreateCounter("sluice_core_expiry_forgotten_reservations_total")
	r.failures = set.GetOrCreateCounter("sluice_core_expiry_failures_total")
	r.late = telemetry.Seconds(set, "sluice_core_expiry_late_seconds")
	set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", r.lag)
	return r
}

// watch looks at a partition again and again.
func (r *run) watch(ctx context.Context, partition int) {
	timer := time.NewTimer(r.untilNext())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		places := r.placesFor(partition)
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wait, err := r.look(ctx, partition)
		<-places
		if ctx.Err() != nil {
			return
		}
		if err != nil && r.trouble.Failing(partition) {
			wait += failingEvery - every
		}
		if err != nil {
			r.failures.Inc()
		}
		r.trouble.Saw(partition, err)
		timer.Reset(wait)
	}
}

// placesFor are the places of the node that has a partition. Each node has its own: calls to one that
// hangs would take up those of all.
func (r *run) placesFor(partition int) chan struct{} {
	node, _ := r.Store.NodeOf(partition) // those that nobody is known to have share places too
	r.mu.Lock()
	defer r.mu.Unlock()
	places := r.places[node]
	if places == nil {
		places = make(chan struct{}, callsAtOnceMax)
		r.places[node] = places
	}
	return places
}

// look expires and forgets what it may, up to a limit, and tells when to look again.
func (r *run) look(ctx context.Context, partition int) (time.Duration, error) {
	sweep, err := r.Store.Expire(ctx, partition, reservationsMax)
	r.expired.Add(sweep.Expired)
	for _, entry := range sweep.Entries {
		r.Publish(entry) // also beside an error: it happened
	}
	if err != nil {
		return r.untilNext(), err
	}
	w := &r.watches[partition]
	r.measure(w, sweep)
	if sweep.More {
		return 0, nil
	}
	if now := time.Now(); !now.Before(w.forgetAt) {
		n, err := r.Store.Forget(ctx, partition, reservationsMax)
		if err != nil {
			return r.untilNext(), err
		}
		r.forgotten.Add(n)
		if n < reservationsMax {
			w.forgetAt = now.Add(betweenForgetting)
		}
	}
	return r.pause(sweep), nil
}

// pause is until the next deadline that is known, a little after it because other processes know it
// too, but at most until the next common look. Where reservations expire one after the other, they are
// left to gather: a call for each would cost the store several times as much.
func (r *run) pause(sweep stock.Sweep) time.Duration {
	next := r.untilNext()
	if sweep.NextMS == 0 || sweep.Expired > 0 {
		return next
	}
	ahead := time.Duration(sweep.NextMS-sweep.TimeMS) * time.Millisecond
	return min(ahead+rand.N(every/5), next) //nolint:gosec // nothing secret about it
}

// untilNext is the time until all partitions are looked at again. They are so together, because their
// calls share a way to the store and back, and processes begin at random moments, so that they do not.
func (r *run) untilNext() time.Duration {
	return every - time.Since(r.phase)%every
}

// measure takes down how late the oldest reservation of a sweep was, and since when the oldest that it
// left has been due, or will be.
func (r *run) measure(w *watch, sweep stock.Sweep) {
	local := time.Now().UnixMilli() - sweep.TimeMS
	if !sweep.More && sweep.NextMS == 0 {
		w.dueMS.Store(0)
	} else if !sweep.More {
		w.dueMS.Store(local + sweep.NextMS)
	}
	if len(sweep.Entries) == 0 {
		return
	}
	// Deadlines are swept in order, so the first event has the oldest.
	oldest, err := firstEvent(sweep.Entries[0])
	if err != nil {
		r.Log.Error("cannot read the events of a sweep", "entry", sweep.Entries[0].ID, "error", err)
		return
	}
	r.late.Update(float64(sweep.TimeMS-oldest.DeadlineMS) / 1000)
	if sweep.More {
		w.dueMS.Store(local + oldest.DeadlineMS) // what is left is not older
	}
}

func firstEvent(entry stock.Entry) (event.Event, error) {
	var e event.Event
	decoder, err := event.NewDecoder(entry.Data)
	if err == nil {
		err = decoder.Next(&e)
	}
	return e, err
}

// lag is for how many seconds the longest waiting reservation that is known has been due.
func (r *run) lag() float64 {
	now, longest := time.Now().UnixMilli(), int64(0)
	for i := range r.watches {
		if due := r.watches[i].dueMS.Load(); due != 0 {
			longest = max(longest, now-due)
		}
	}
	return float64(longest) / 1000
}
