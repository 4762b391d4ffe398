package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/uuid"

	"sluice/core/stock"
)

// RelayStore is what the relay needs of the store that keeps the outboxes.
type RelayStore interface {
	Partitions() int
	// OutboxEnds is the ends of every partition's outbox.
	OutboxEnds(ctx context.Context) []stock.OutboxEnds
	// OutboxAfter reads entries after an id, all for an empty one, in order, at most limit.
	OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	// RelayLease takes the right to relay a partition for a while, unless somebody has it.
	RelayLease(ctx context.Context, partition int, owner string, ttl time.Duration) (bool, error)
	// RelayMark is the id of the last entry that was relayed, empty if none was.
	RelayMark(ctx context.Context, partition int) (string, error)
	SetRelayMark(ctx context.Context, partition int, id string) error
}

// RelayPublisher is what the relay needs of its process's Publisher.
type RelayPublisher interface {
	PublishWait(e stock.Entry, done func(error)) bool
	Delivered(e stock.Entry) bool
	Reached() []int64
	Forget()
}

// RelayConfig configures a Relay.
type RelayConfig struct {
	Store     RelayStore
	Publisher RelayPublisher
	// Unread tells, for each Kafka partition, what the persisters have not committed: see Topic.Unread.
	Unread  func(ctx context.Context) ([]Range, error)
	Metrics *metrics.Set
	Log     *slog.Logger // Defaults to slog.Default.

	Every time.Duration // Between two looks at all partitions. Defaults to 1 s.
	Age   time.Duration // How long an entry is left to the edge that made it. Defaults to 3 s.
	// Again is how long a published entry may stay although the persisters have read everything, before
	// it is published again; it doubles each time, up to againMax. Defaults to 30 s.
	Again time.Duration
}

const (
	relayEveryDefault = time.Second
	relayAgeDefault   = 3 * time.Second
	relayAgainDefault = 30 * time.Second
	againMax          = 10 * time.Minute
	relayEntries      = 200             // published in one go
	relayRounds       = 50              // of that many for one partition, before the others have their turn
	leaseEvery        = 3               // looks that a lease lasts
	lookMax           = 5 * time.Second // of a look in which something fails
)

var errBufferFull = errors.New("the publisher's buffer is full")

// Relay publishes outbox entries that nobody else did, because their edge died or Kafka was away. Any
// number of relays may run, in any processes: a short lease per partition keeps them from doing the
// same work, and doing it twice is harmless.
//
// An entry is relayed once when it has stayed for Age, unless this process's own publisher has delivered
// it; whether another edge did nobody here knows. From then on Kafka has it, and it stays because MySQL
// does not: publishing it again would not help. That is done only when Kafka turns out to have lost
// something: its end is before what it acknowledged, or the persisters have nothing left to read, which
// can also mean that a deletion failed.
type Relay struct {
	cfg     RelayConfig
	owner   string
	watches []watch
	losses  int // how often Kafka was found to end before what it acknowledged
	now     func() time.Time

	published, again, failures *metrics.Counter
}

// NewRelay makes a relay; Run runs it.
func NewRelay(cfg RelayConfig) *Relay {
	cfg.Every = cmp.Or(cfg.Every, relayEveryDefault)
	cfg.Age = cmp.Or(cfg.Age, relayAgeDefault)
	cfg.Again = cmp.Or(cfg.Again, relayAgainDefault)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	return &Relay{
		cfg:     cfg,
		owner:   uuid.NewString(),
		watches: make([]watch, cfg.Store.Partitions()),
		now:     time.Now,

		published: cfg.Metrics.NewCounter("relay_published_entries_total"),
		again:     cfg.Metrics.NewCounter("relay_published_again_total"),
		failures:  cfg.Metrics.NewCounter("relay_failures_total"),
	}
}

// Run looks at all partitions again and again until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Every)
	defer tick.Stop()
	failing := false
	for {
		err := r.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err != nil && !failing:
			r.cfg.Log.Warn("cannot relay outbox entries yet", "error", err)
		case err == nil && failing:
			r.cfg.Log.Info("relaying outbox entries again")
		}
		if failing = err != nil; failing {
			r.failures.Inc()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look visits every partition once, also if some fail.
func (r *Relay) look(ctx context.Context) error {
	start := r.now()
	var failed []error
	kafka := &unread{}
	for p, ends := range r.cfg.Store.OutboxEnds(ctx) {
		if err := r.visit(ctx, p, ends, kafka); err != nil {
			failed = append(failed, fmt.Errorf("relay partition %d: %w", p, err))
		}
		if ctx.Err() != nil || len(failed) > 0 && r.now().Sub(start) > lookMax {
			break // Redis or Kafka is away, and waiting for each partition's timeout helps nobody
		}
	}
	return errors.Join(append(failed, kafka.err)...)
}

// visit relays what it should of a partition whose outbox had these ends a moment ago.
func (r *Relay) visit(ctx context.Context, p int, ends stock.OutboxEnds, kafka *unread) error {
	if ends.Err != nil {
		return ends.Err
	}
	w := &r.watches[p]
	w.see(r.now(), r.cfg.Age, ends.Last)
	if ends.First == "" || entryLess(w.old, ends.First) { // in the normal case: all that is there is young
		w.losses = r.losses // which concern none of it
		return nil
	}
	mark, err := r.cfg.Store.RelayMark(ctx, p)
	if err != nil {
		return err
	}
	lost := r.lost(ctx, p, ends.First, mark, kafka)
	if !lost && !entryLess(mark, w.old) {
		return nil
	}
	if ok, err := r.cfg.Store.RelayLease(ctx, p, r.owner, leaseEvery*r.cfg.Every); !ok || err != nil {
		return err
	}
	if lost {
		if err := r.cfg.Store.SetRelayMark(ctx, p, ""); err != nil {
			return err
		}
		w.since, w.wait, w.losses = r.now(), min(2*w.wait, againMax), r.losses
		r.again.Inc()
		r.cfg.Log.Warn("publishing outbox entries again: kafka does not have them", "partition", p, "first", ends.First)
	}
	return r.relay(ctx, p, w.old)
}

// relay publishes entries beyond the mark, up to one that is old enough, and moves the mark along.
func (r *Relay) relay(ctx context.Context, p int, upTo string) error {
	mark, err := r.cfg.Store.RelayMark(ctx, p) // under the lease: nobody else moves it now
	for round := 0; err == nil && round < relayRounds && entryLess(mark, upTo); round++ {
		var entries []stock.Entry
		if entries, err = r.upTo(ctx, p, mark, upTo); err != nil {
			return err
		}
		sent, failure := r.publish(ctx, entries)
		switch {
		case len(entries) == 0:
			mark = upTo // the persisters have deleted the rest
		case sent > 0:
			mark = entries[sent-1].ID
		default:
			return failure
		}
		err = errors.Join(failure, r.cfg.Store.SetRelayMark(ctx, p, mark))
	}
	return err
}

// lost tells whether Kafka cannot have entries that were published, of which this is the first. While
// Kafka does not say, that is no reason to hold back what it never had.
func (r *Relay) lost(ctx context.Context, p int, first, mark string, kafka *unread) bool {
	w := &r.watches[p]
	r.ask(ctx, kafka)
	if w.losses < r.losses {
		return true
	}
	if kafka.err != nil || entryLess(mark, first) {
		return false
	}
	if first != w.stuck {
		w.stuck, w.since, w.wait = first, r.now(), r.cfg.Again
	}
	if !kafka.caughtUp(p) {
		w.since = r.now()
	}
	return r.now().Sub(w.since) >= w.wait
}

// ask asks, once a look, what the persisters have left to read, and so how far Kafka has come.
func (r *Relay) ask(ctx context.Context, kafka *unread) {
	if kafka.asked {
		return
	}
	kafka.asked = true
	reached := r.cfg.Publisher.Reached() // before Kafka says how far it has come
	kafka.ranges, kafka.err = r.cfg.Unread(ctx)
	for i, kept := range kafka.ranges {
		if i < len(reached) && kept.End < reached[i] {
			r.losses++
			r.cfg.Publisher.Forget()
			r.cfg.Log.Warn("kafka has lost events that it had acknowledged", "partition", i, "end", kept.End, "acknowledged", reached[i])
			return
		}
	}
}

// upTo reads entries after one id up to and with another.
func (r *Relay) upTo(ctx context.Context, p int, after, last string) ([]stock.Entry, error) {
	entries, err := r.cfg.Store.OutboxAfter(ctx, p, after, relayEntries)
	for i := range entries {
		if entryLess(last, entries[i].ID) {
			return entries[:i], err
		}
	}
	return entries, err
}

// publish returns how many entries, from the first on, Kafka has for certain.
func (r *Relay) publish(ctx context.Context, entries []stock.Entry) (sent int, err error) {
	type result struct {
		entry int
		err   error
	}
	results := make(chan result, len(entries))
	asked, failed := 0, len(entries)
	for i := range entries {
		if r.cfg.Publisher.Delivered(entries[i]) {
			continue
		}
		if !r.cfg.Publisher.PublishWait(entries[i], func(err error) { results <- result{i, err} }) {
			failed, err = i, errBufferFull
			break
		}
		asked++
	}
	for range asked {
		select {
		case got := <-results:
			if got.err == nil {
				r.published.Inc()
			} else if got.entry < failed {
				failed, err = got.entry, got.err
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return failed, err
}

// unread is what the persisters have left to read, asked for at most once a look, and only if needed.
type unread struct {
	asked  bool
	ranges []Range
	err    error
}

func (u *unread) caughtUp(partition int) bool {
	if len(u.ranges) == 0 {
		return false
	}
	r := u.ranges[partition%len(u.ranges)]
	return r.First == r.End
}
