package outbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

// RelayStore is the part of the store that the relay needs.
type RelayStore interface {
	Partitions() int
	// OutboxEnds returns the first and last entry of every partition's outbox. Errors of this and of all other
	// methods wrap stock.ErrShut if this process does not trust the partition's data.
	OutboxEnds(ctx context.Context) []stock.OutboxEnds
	// RelayAfter reads the entries after an id in order, at most limit. An empty id means from the beginning.
	RelayAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	// RelayLease takes the right to relay a partition for a while, unless somebody has it.
	RelayLease(ctx context.Context, partition int, owner string, ttl time.Duration) (bool, error)
	// RelayMark returns the relay mark, and how often it was reset. The mark is the id of the last entry that any
	// relay published, and empty if there is none.
	RelayMark(ctx context.Context, partition int) (id string, resets int64, err error)
	SetRelayMark(ctx context.Context, partition int, id string) error
	// ResetRelayMark empties the mark, so that relays publish everything again. It counts and returns the resets.
	ResetRelayMark(ctx context.Context, partition int) (resets int64, err error)
}

// RelayPublisher is the part of its process's Publisher that the relay needs.
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
	// Unread returns the offsets of each Kafka partition that the persisters have not committed. See Topic.Unread.
	Unread  func(ctx context.Context) ([]Range, error)
	Metrics *metrics.Set
	Log     *slog.Logger // Defaults to slog.Default.

	Every time.Duration // Between two looks at all partitions. Defaults to 1 s.
	Age   time.Duration // How long the relay leaves an entry to the edge that made it. Defaults to 3 s.
	// Again is how long the relay waits, once the persisters have read past a published entry, for them to delete
	// it. Then it publishes the entry again. The wait doubles each time, up to againMax. Defaults to 30 s.
	Again time.Duration
}

const (
	relayEveryDefault = time.Second
	relayAgeDefault   = 3 * time.Second
	relayAgainDefault = 30 * time.Second
	againMax          = 10 * time.Minute
	relayEntries      = 200             // entries that one round publishes
	relayRounds       = 50              // rounds for one partition, before the others have their turn
	leaseEvery        = 3               // number of looks for which a lease lasts
	lookMax           = 5 * time.Second // a look in which something has failed ends after this time
)

var errBufferFull = errors.New("the publisher's buffer is full")

// Relay publishes outbox entries that nobody else has published, because their edge died or Kafka was away.
// Any number of relays may run, in any processes. A short lease per partition keeps them from doing the
// same work; doing it twice is harmless.
//
// A relay publishes an entry once, when it is older than Age. It leaves out an entry that its own process has
// delivered. It cannot know whether another edge has delivered it. After that Kafka has the entry, and the entry
// stays in the outbox only because MySQL does not have it yet. Publishing it again would not help.
//
// The relay publishes an entry again only if Kafka seems to have lost it. There are two signs. Kafka ends before
// an offset that it acknowledged. Or the persisters have read past the entry and it is still there; a failed
// deletion looks the same.
type Relay struct {
	cfg      RelayConfig
	owner    string
	outlooks []outlook
	stands   []atomic.Uint32 // the standing of each partition, for metrics
	next     int             // the partition that the next look visits first
	now      func() time.Time

	published, again, failures *metrics.Counter
}

// NewRelay makes a relay; Run runs it.
func NewRelay(cfg RelayConfig) *Relay {
	cfg.Every = cmp.Or(cfg.Every, relayEveryDefault)
	cfg.Age = cmp.Or(cfg.Age, relayAgeDefault)
	cfg.Again = cmp.Or(cfg.Again, relayAgainDefault)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	r := &Relay{
		cfg:      cfg,
		owner:    rand.Text(),
		outlooks: make([]outlook, cfg.Store.Partitions()),
		stands:   make([]atomic.Uint32, cfg.Store.Partitions()),
		now:      time.Now,

		published: cfg.Metrics.NewCounter("sluice_core_relay_published_entries_total"),
		again:     cfg.Metrics.NewCounter("sluice_core_relay_resets_total"),
		failures:  cfg.Metrics.NewCounter("sluice_core_relay_failures_total"),
	}
	for s, word := range standings {
		cfg.Metrics.NewGauge(fmt.Sprintf("sluice_core_relay_partitions{state=%q}", word), func() float64 { return r.count(standing(s)) })
	}
	return r
}

// count returns the number of partitions with a standing.
func (r *Relay) count(s standing) float64 {
	n := 0.0
	for i := range r.stands {
		if standing(r.stands[i].Load()) == s {
			n++
		}
	}
	return n
}

// Run looks at all partitions again and again until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	lifecycle.Repeat(ctx, r.cfg.Log, "relay outbox entries", r.cfg.Every, func(ctx context.Context) error {
		err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			r.failures.Inc()
		}
		return err
	})
}

// look visits every partition once, and goes on if some fail. If it has to end early, the next look goes on from
// there.
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
			break // Redis or Kafka is away: waiting for the timeout of each further partition would help nobody
		}
	}
	return errors.Join(failed.Err(), kafka.err)
}

// visit looks at one partition and publishes its old entries. ends are the ends of its outbox at the time now.
func (r *Relay) visit(ctx context.Context, p int, ends stock.OutboxEnds, now time.Time, kafka *unread) error {
	if errors.Is(ends.Err, stock.ErrShut) {
		return nil // somebody has exchanged the data: publish nothing from their outbox until a vetting
	}
	if ends.Err != nil {
		return ends.Err
	}
	w := &r.outlooks[p]
	if !w.see(now, r.cfg.Age, ends.First, ends.Last) { // the normal case
		return r.move(ctx, p, nothingOld, look{losses: r.cfg.Publisher.Losses()})
	}
	mark, resets, err := r.cfg.Store.RelayMark(ctx, p)
	if err != nil {
		return err
	}
	r.ask(ctx, kafka) // it may find a loss
	seen := look{
		now: now, first: ends.First, mark: mark, resets: resets, losses: r.cfg.Publisher.Losses(), kept: kafka.of(p),
	}
	for _, c := range w.step(seen, r.cfg.Again) {
		if err := r.move(ctx, p, c, seen); err != nil {
			return err
		}
	}
	return nil
}

// move makes the move for a cause. If the move fails before it publishes, the outlook stays as it was.
func (r *Relay) move(ctx context.Context, p int, c cause, seen look) error {
	w, m := &r.outlooks[p], moves[c]
	r.stands[p].Store(uint32(m.to))
	if m.publish {
		if ok, err := r.cfg.Store.RelayLease(ctx, p, r.owner, leaseEvery*r.cfg.Every); !ok || err != nil {
			return err
		}
	}
	if c == longPast {
		r.cfg.Log.Warn("publishing outbox entries again: the persisters have read past them in kafka and have not deleted them",
			"partition", p, "first", w.first)
	}
	var resets int64
	if m.reset {
		var err error
		if resets, err = r.cfg.Store.ResetRelayMark(ctx, p); err != nil {
			return err
		}
		r.again.Inc()
	}
	if m.forget {
		r.cfg.Publisher.Forget()
	}
	w.made(m, seen.losses, resets)
	if m.publish {
		return r.relay(ctx, p, w.old, w.resets)
	}
	return nil
}

// relay publishes the entries after the mark, up to and with upTo, and moves the mark along. It stops if another
// process resets the mark, which then has more resets than known.
func (r *Relay) relay(ctx context.Context, p int, upTo string, known int64) error {
	for round := 0; ; round++ {
		mark, resets, err := r.cfg.Store.RelayMark(ctx, p)
		if err != nil {
			return err
		}
		if resets != known {
			return r.cfg.Store.SetRelayMark(ctx, p, "") // the last round may have moved the mark after the reset
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
			mark = upTo // the persisters have deleted the entries up to there
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

// ask asks Kafka, once per look, what the persisters have left to read. The answer also tells where Kafka ends. If
// Kafka does not answer, nothing counts as lost, and the relay goes on.
func (r *Relay) ask(ctx context.Context, kafka *unread) {
	if kafka.asked {
		return
	}
	kafka.asked = true
	reached := r.cfg.Publisher.Reached() // read first: Kafka must have come at least as far when it answers
	kafka.ranges, kafka.err = r.cfg.Unread(ctx)
	for i, kept := range kafka.ranges {
		if i < len(reached) && kept.End < reached[i] {
			r.cfg.Publisher.Lose()
			r.cfg.Log.Warn("kafka has lost events that it had acknowledged: publishing again the entries that are still in the outbox",
				"partition", i, "end", kept.End, "acknowledged", reached[i])
			return
		}
	}
}

// upTo reads the entries after one id, up to and with another.
func (r *Relay) upTo(ctx context.Context, p int, after, last string) ([]stock.Entry, error) {
	entries, err := r.cfg.Store.RelayAfter(ctx, p, after, relayEntries)
	for i := range entries {
		if entryLess(last, entries[i].ID) {
			return entries[:i], err
		}
	}
	return entries, err
}

// publish publishes entries, and returns how many of them, from the first on, are done: Kafka has them for certain,
// or refuses their size for good.
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
			case errors.Is(got.err, ErrTooLarge): // passed over, so that the entries behind it do not wait
			case got.entry < failed:
				failed, err = got.entry, got.err
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return failed, err
}

// unread has the offsets that the persisters have yet to read. A look asks for them at most once, and only if it needs
// them.
type unread struct {
	asked  bool
	ranges []Range
	err    error
}

// of returns the messages that the persisters have yet to read in each Kafka partition that may have entries of a stock
// partition, or nil if nobody knows.
func (u *unread) of(p int) (kept []Range) {
	if u.err != nil {
		return nil
	}
	for _, partition := range PartitionsOf(p, len(u.ranges)) {
		kept = append(kept, u.ranges[partition])
	}
	return kept
}
