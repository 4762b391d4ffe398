package outbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

// RelayStore is what the relay needs of the store that keeps the outboxes.
type RelayStore interface {
	Partitions() int
	// OutboxEnds is the ends of every partition's outbox. Its errors, and those of all that follows, wrap
	// stock.ErrShut where the partition's data are not those that this process trusts.
	OutboxEnds(ctx context.Context) []stock.OutboxEnds
	// RelayAfter reads entries after an id, all for an empty one, in order, at most limit.
	RelayAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	// RelayLease takes the right to relay a partition for a while, unless somebody has it.
	RelayLease(ctx context.Context, partition int, owner string, ttl time.Duration) (bool, error)
	// RelayMark is the id of the last entry that was relayed, empty if none was, and how often it was reset.
	RelayMark(ctx context.Context, partition int) (id string, resets int64, err error)
	SetRelayMark(ctx context.Context, partition int, id string) error
	// ResetRelayMark makes the mark empty, so that everything is relayed again, and counts it.
	ResetRelayMark(ctx context.Context, partition int) (resets int64, err error)
}

// RelayPublisher is what the relay needs of its process's Publisher.
type RelayPublisher interface {
	PublishWait(e stock.Entry, done func(error)) bool
	Delivered(e stock.Entry) bool
	Forget()
	Reached() []int64
	Lose()
	Losses() int
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
	// Again is how long a published entry may stay although the persisters have read past it, before it
	// is published again; it doubles each time, up to againMax. Defaults to 30 s.
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
// something: its end is before what it acknowledged, or the persisters have read past the entry and it is
// still there, which can also mean that a deletion failed.
type Relay struct {
	cfg     RelayConfig
	owner   string
	watches []watch
	next    int // partition with which the next look begins
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
		owner:   rand.Text(),
		watches: make([]watch, cfg.Store.Partitions()),
		now:     time.Now,

		published: cfg.Metrics.NewCounter("sluice_core_relay_published_entries_total"),
		again:     cfg.Metrics.NewCounter("sluice_core_relay_republished_entries_total"),
		failures:  cfg.Metrics.NewCounter("sluice_core_relay_failures_total"),
	}
}

// Run looks at all partitions again and again until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	lifecycle.Repeat(ctx, r.cfg.Log, "relay outbox entries", r.cfg.Every, func(ctx context.Context) error {
		err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			r.failures.Inc()
		}
		return err
	})
	return nil
}

// look visits every partition once, also if some fail. One that is broken off is resumed by the next.
func (r *Relay) look(ctx context.Context) error {
	start := r.now()
	var failed stock.PartitionErrors
	kafka := &unread{}
	all := r.cfg.Store.OutboxEnds(ctx)
	now := r.now()
	for i := range all {
		p := (r.next + i) % len(all)
		if err := r.visit(ctx, p, all[p], now, kafka); err != nil {
			failed.Add(p, err)
		}
		if ctx.Err() != nil || r.now().Sub(start) > lookMax && failed.Err() != nil {
			r.next = (p + 1) % len(all)
			break // Redis or Kafka is away, and waiting for each partition's timeout helps nobody
		}
	}
	return errors.Join(failed.Err(), kafka.err)
}

// visit relays what it should of a partition whose outbox had these ends now.
func (r *Relay) visit(ctx context.Context, p int, ends stock.OutboxEnds, now time.Time, kafka *unread) error {
	if errors.Is(ends.Err, stock.ErrShut) {
		return nil // an outbox of data that were exchanged is not ours to publish, until somebody has vetted them
	}
	if ends.Err != nil {
		return ends.Err
	}
	w := &r.watches[p]
	w.see(now, r.cfg.Age, ends.Last)
	if ends.First == "" || entryLess(w.old, ends.First) { // in the normal case: all that is there is young
		w.losses = r.cfg.Publisher.Losses() // after a loss nothing is known to be delivered, so the young are relayed
		return nil
	}
	mark, resets, err := r.cfg.Store.RelayMark(ctx, p)
	if err != nil {
		return err
	}
	if resets != w.resets { // another process found that Kafka does not have what it had acknowledged
		r.cfg.Publisher.Forget()
		w.resets = resets
		w.written()
	}
	r.ask(ctx, kafka)
	if losses := r.cfg.Publisher.Losses(); w.losses < losses {
		// Not only under the lease: who has it may not know of the loss, and keep it for as long as there is work.
		if err := r.reset(ctx, p); err != nil {
			return err
		}
		mark, w.losses = "", losses
	}
	stuck := r.stuck(w, p, ends.First, mark, now, kafka)
	if !stuck && !entryLess(mark, w.old) {
		return nil
	}
	if ok, err := r.cfg.Store.RelayLease(ctx, p, r.owner, leaseEvery*r.cfg.Every); !ok || err != nil {
		return err
	}
	if stuck {
		r.cfg.Log.Warn("publishing outbox entries again: the persisters have read past them in kafka, but they are not deleted",
			"partition", p, "first", ends.First)
		if err := r.reset(ctx, p); err != nil {
			return err
		}
		r.cfg.Publisher.Forget()
		w.wait = min(2*w.wait, againMax)
	}
	return r.relay(ctx, p, w.old)
}

// reset has everything relayed again.
func (r *Relay) reset(ctx context.Context, p int) error {
	resets, err := r.cfg.Store.ResetRelayMark(ctx, p)
	if err != nil {
		return err
	}
	r.again.Inc()
	r.watches[p].resets = resets
	r.watches[p].written()
	return nil
}

// relay publishes entries beyond the mark, up to one that is old enough, and moves the mark along until
// somebody resets it.
func (r *Relay) relay(ctx context.Context, p int, upTo string) error {
	for round := 0; ; round++ {
		mark, resets, err := r.cfg.Store.RelayMark(ctx, p)
		if err != nil {
			return err
		}
		if resets != r.watches[p].resets {
			return r.cfg.Store.SetRelayMark(ctx, p, "") // it may just have been moved over the reset
		}
		if round == relayRounds || !entryLess(mark, upTo) {
			return nil
		}
		entries, err := r.upTo(ctx, p, mark, upTo)
		if err != nil {
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
		if err := errors.Join(failure, r.cfg.Store.SetRelayMark(ctx, p, mark)); err != nil {
			return err
		}
	}
}

// stuck tells whether Kafka cannot have entries that were published, of which this is the first: the
// persisters have long since read on from where Kafka ended then.
func (r *Relay) stuck(w *watch, p int, first, mark string, now time.Time, kafka *unread) bool {
	if kafka.err != nil || len(kafka.ranges) == 0 || entryLess(mark, first) {
		return false
	}
	kept := kafka.ranges[p%len(kafka.ranges)]
	if first != w.stuck {
		w.stuck, w.wait = first, r.cfg.Again
		w.written()
	}
	if w.copies == unknown || w.copies > kept.End { // it can end earlier than it did
		w.copies = kept.End
	}
	if w.read.IsZero() && kept.First >= w.copies {
		w.read = now
	}
	return !w.read.IsZero() && now.Sub(w.read) >= w.wait
}

// ask asks, once a look, what the persisters have left to read, and so how far Kafka has come. If Kafka
// cannot be asked nothing counts as lost, and relaying goes on.
func (r *Relay) ask(ctx context.Context, kafka *unread) {
	if kafka.asked {
		return
	}
	kafka.asked = true
	reached := r.cfg.Publisher.Reached() // before Kafka says how far it has come
	kafka.ranges, kafka.err = r.cfg.Unread(ctx)
	for i, kept := range kafka.ranges {
		if i < len(reached) && kept.End < reached[i] {
			r.cfg.Publisher.Lose()
			r.cfg.Log.Warn("kafka has lost events that it had acknowledged: publishing again what is not deleted",
				"partition", i, "end", kept.End, "acknowledged", reached[i])
			return
		}
	}
}

// upTo reads entries after one id up to and with another.
func (r *Relay) upTo(ctx context.Context, p int, after, last string) ([]stock.Entry, error) {
	entries, err := r.cfg.Store.RelayAfter(ctx, p, after, relayEntries)
	for i := range entries {
		if entryLess(last, entries[i].ID) {
			return entries[:i], err
		}
	}
	return entries, err
}

// publish returns how many entries, from the first on, Kafka has for certain, or will not take.
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
			switch {
			case got.err == nil:
				r.published.Inc()
			case errors.Is(got.err, ErrTooLarge): // passed over: nobody behind it must wait
			case got.entry < failed:
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
