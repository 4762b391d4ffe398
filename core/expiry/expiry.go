// Package expiry gives back the units of reservations that nobody confirmed in time, and removes the records of
// reservations whose retention has ended. The store decides what is due, by its own clock. So any number of processes may
// sweep at once, without a leader.
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
	// every is the longest time between two looks at a partition. A sweeper knows the next deadline, but a new reservation
	// may have an earlier one. A longer time delays units that come back. A shorter one costs the store more calls: a
	// cheap one per partition and look.
	every = 250 * time.Millisecond

	// failingEvery is the time between two looks after two looks in a row have failed. It is longer, because a Redis
	// that nobody has vetted may stay shut for long.
	failingEvery = time.Second

	callsAtOnceMax    = 4    // to a node: few, because they delay shoppers; more than one, because calls share a round trip
	reservationsMax   = 1024 // of one call
	betweenForgetting = time.Second
)

// Store is the part of stock.Store that a Sweeper needs.
type Store interface {
	Partitions() int
	NodeOf(partition int) (string, error)
	Expire(ctx context.Context, partition, limit int) (stock.Sweep, error)
	Forget(ctx context.Context, partition, limit int) (int, error)
}

// Sweeper sweeps all partitions of a store.
type Sweeper struct {
	Store Store
	// Publish gets the events of expired reservations, from several goroutines at once. The relay publishes what Publish
	// does not.
	Publish func(stock.Entry)
	Metrics *metrics.Set
	Log     *slog.Logger // Defaults to slog.Default.
}

// Run sweeps until ctx ends, a goroutine for each partition.
func (s *Sweeper) Run(ctx context.Context) {
	r := s.newRun()
	var wg sync.WaitGroup
	for i := range r.agendas {
		wg.Go(func() { r.attend(ctx, i) })
	}
	wg.Wait()
}

// run is a Sweeper at work.
type run struct {
	Sweeper
	agendas []agenda
	phase   time.Time // the sweeper looks at all partitions together at phase + n·every
	trouble *lifecycle.Troubles

	mu     sync.Mutex
	places map[string]chan struct{} // by node; each has a place for every call that may be under way

	expired, forgotten, failures *metrics.Counter
	late                         *metrics.PrometheusHistogram
}

// agenda has the times at which a sweeper looks at a partition.
type agenda struct {
	// dueMS is the local time, in Unix milliseconds, at which the oldest known reservation becomes or became due; 0 if none
	// is known.
	dueMS atomic.Int64
	// Only the partition's own goroutine uses the rest.
	forgetAt time.Time
}

func (s *Sweeper) newRun() *run {
	r := &run{
		Sweeper: *s,
		agendas: make([]agenda, s.Store.Partitions()),
		phase:   time.Now().Add(-rand.N(every)), //nolint:gosec // nothing secret about it
		places:  map[string]chan struct{}{},
	}
	r.Log = cmp.Or(r.Log, slog.Default())
	r.trouble = lifecycle.NewTroubles(r.Log, "sweep reservations", "partition", len(r.agendas))
	set := cmp.Or(r.Metrics, metrics.NewSet())
	r.expired = set.GetOrCreateCounter("sluice_core_expiry_expired_reservations_total")
	r.forgotten = set.GetOrCreateCounter("sluice_core_expiry_forgotten_reservations_total")
	r.failures = set.GetOrCreateCounter("sluice_core_expiry_failures_total")
	r.late = telemetry.Seconds(set, "sluice_core_expiry_late_seconds")
	set.GetOrCreateGauge("sluice_core_expiry_lag_seconds", r.lag)
	return r
}

// attend looks at a partition again and again.
func (r *run) attend(ctx context.Context, partition int) {
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

// placesFor returns the places of the node that has a partition. Each node has its own, because calls to a node that hangs
// would otherwise take all places.
func (r *run) placesFor(partition int) chan struct{} {
	node, _ := r.Store.NodeOf(partition) // partitions without a known node share places too
	r.mu.Lock()
	defer r.mu.Unlock()
	places := r.places[node]
	if places == nil {
		places = make(chan struct{}, callsAtOnceMax)
		r.places[node] = places
	}
	return places
}

// look expires and forgets what is due, up to a limit, and returns when to look again.
func (r *run) look(ctx context.Context, partition int) (time.Duration, error) {
	sweep, err := r.Store.Expire(ctx, partition, reservationsMax)
	r.expired.Add(sweep.Expired)
	for _, entry := range sweep.Entries {
		r.Publish(entry) // even if there is an error: it happened
	}
	if err != nil {
		return r.untilNext(), err
	}
	w := &r.agendas[partition]
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

// pause returns how long to wait for the next look. It is until a little after the next known deadline, because other
// processes know that deadline too, and at most until the next common look. If reservations have just expired, it is
// until the common look: more of them gather meanwhile, and a call for each would cost the store several times as much.
func (r *run) pause(sweep stock.Sweep) time.Duration {
	next := r.untilNext()
	if sweep.NextMS == 0 || sweep.Expired > 0 {
		return next
	}
	ahead := time.Duration(sweep.NextMS-sweep.TimeMS) * time.Millisecond
	return min(ahead+rand.N(every/5), next) //nolint:gosec // nothing secret about it
}

// untilNext returns the time until the next common look. A process looks at all partitions together, because their calls
// then share a round trip. Processes begin at random moments, so that they do not all look at once.
func (r *run) untilNext() time.Duration {
	return every - time.Since(r.phase)%every
}

// measure notes how late the oldest reservation of a sweep was, and when the oldest one that it left becomes or became due.
func (r *run) measure(w *agenda, sweep stock.Sweep) {
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
		w.dueMS.Store(local + oldest.DeadlineMS) // the ones left are not older
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

// lag returns for how many seconds the oldest known reservation has been due.
func (r *run) lag() float64 {
	now, longest := time.Now().UnixMilli(), int64(0)
	for i := range r.agendas {
		if due := r.agendas[i].dueMS.Load(); due != 0 {
			longest = max(longest, now-due)
		}
	}
	return float64(longest) / 1000
}
