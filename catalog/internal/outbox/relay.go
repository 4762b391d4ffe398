package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/place"
)

const (
	eventsMax    = 500 // of one look, and of one statement that deletes
	bytesMax     = 4 << 20
	lookEvery    = 200 * time.Millisecond
	roundWithin  = 30 * time.Second
	removeWithin = 5 * time.Second
	standMax     = 100_000 // events that are counted
)

// Config says what a relay publishes, and where to.
type Config struct {
	Owner  string
	Topics []string
	Places []place.Place
	Kafka  *Kafka
	// Metrics has the figures of all relays of a process.
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Relay publishes the events of an owner, and removes those that Kafka has. Every process runs one. In each place one of
// them works at a time, by a lock of the database; should two do so after all, events are repeated, and no order is lost
// that versions would not show.
type Relay struct {
	cfg    Config
	parts  []*part
	wake   chan struct{}
	at     func(step string) // tests stop the process there
	failed *metrics.Counter
	sent   *metrics.Counter
}

// part is the work in one place.
type part struct {
	place.Place
	outbox  Outbox
	waiting atomic.Int64 // events, as last seen
	oldest  atomic.Int64 // microseconds that the oldest waits
}

// NewRelay makes a relay and its metrics.
func NewRelay(cfg Config) *Relay {
	label := fmt.Sprintf("{owner=%q}", cfg.Owner)
	r := &Relay{
		cfg: cfg, wake: make(chan struct{}, 1), at: func(string) {},
		sent:   cfg.Metrics.NewCounter("sluice_catalog_outbox_published_events_total" + label),
		failed: cfg.Metrics.NewCounter("sluice_catalog_outbox_failures_total" + label),
	}
	for _, p := range cfg.Places {
		r.parts = append(r.parts, &part{Place: p, outbox: Of(cfg.Owner, p.Suffix)})
	}
	cfg.Metrics.NewGauge("sluice_catalog_outbox_waiting_events"+label, func() (sum float64) {
		for _, p := range r.parts {
			sum += float64(p.waiting.Load())
		}
		return sum
	})
	cfg.Metrics.NewGauge("sluice_catalog_outbox_oldest_event_seconds"+label, func() (oldest float64) {
		for _, p := range r.parts {
			oldest = max(oldest, time.Duration(p.oldest.Load()*1000).Seconds())
		}
		return oldest
	})
	return r
}

// Wake makes the relay look at once. Whoever has committed an event may call it, so that readers get the event sooner.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	var running sync.WaitGroup
	wakes := make([]chan struct{}, len(r.parts))
	for i, p := range r.parts {
		wakes[i] = make(chan struct{}, 1)
		running.Go(func() { r.work(ctx, p, wakes[i]) })
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.wake:
			for _, wake := range wakes {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}
	}
	running.Wait()
}

// work looks again and again in one place, while this process has its lock.
func (r *Relay) work(ctx context.Context, p *part, wake <-chan struct{}) {
	trouble := lifecycle.NewTrouble(r.cfg.Log, "publish events of "+r.cfg.Owner+" in "+p.Name)
	for ctx.Err() == nil {
		err := r.locked(ctx, p, wake, trouble)
		if err != nil && ctx.Err() == nil {
			r.failed.Inc()
			trouble.Saw(err)
		}
		lifecycle.Pause(ctx, lookEvery)
	}
}

// locked publishes for as long as it has the lock of the place, and no error comes. Without the lock it only looks how many
// events wait.
func (r *Relay) locked(ctx context.Context, p *part, wake <-chan struct{}, trouble *lifecycle.Trouble) (err error) {
	conn, err := p.Writer().Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	unlock, taken, err := db.TryLock(ctx, conn, "outbox "+r.cfg.Owner+p.Suffix)
	if err != nil {
		return err
	}
	if !taken {
		lifecycle.Pause(ctx, 10*lookEvery)
		return p.look(ctx, conn)
	}
	defer unlock()
	for ctx.Err() == nil {
		more, err := r.round(ctx, p, conn)
		if err != nil {
			return err
		}
		trouble.Saw(nil)
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// look notes how many events wait.
func (p *part) look(ctx context.Context, conn *sql.Conn) error {
	var waiting, oldest int64
	if err := conn.QueryRowContext(ctx, p.outbox.stand, standMax).Scan(&waiting, &oldest); err != nil {
		return fmt.Errorf("look at the outbox: %w", err)
	}
	p.waiting.Store(waiting)
	p.oldest.Store(oldest)
	return nil
}

// round publishes the oldest events of each topic, and reports whether there may be more. It works on the connection that has
// the lock: if that is lost, the round fails, and another process may begin. A topic that Kafka does not take keeps back
// only its own events.
func (r *Relay) round(ctx context.Context, p *part, conn *sql.Conn) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundWithin)
	defer cancel()
	if err := p.look(ctx, conn); err != nil || p.waiting.Load() == 0 {
		return false, err
	}
	var faults []error
	for _, topic := range r.cfg.Topics {
		n, err := r.publish(ctx, p, conn, topic)
		more = more || n == eventsMax
		faults = append(faults, err)
	}
	return more, errors.Join(faults...)
}

// row is an event in its table.
type row struct {
	id int64
	Event
}

// publish publishes the oldest events of one topic in their order, and removes those that Kafka has.
func (r *Relay) publish(ctx context.Context, p *part, conn *sql.Conn, topic string) (n int, err error) {
	var rows []row
	bytes := 0
	err = db.Rows(ctx, conn, func(from *sql.Rows) error {
		if bytes > bytesMax {
			return nil
		}
		var e row
		var data []byte
		err := from.Scan(&e.id, &e.Aggregate, &e.Version, &e.ID, &e.Type, &e.At, &data)
		e.Data = data
		rows, bytes = append(rows, e), bytes+len(data)
		return err
	}, p.outbox.list, topic, eventsMax)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	r.at("read")
	taken, err := r.cfg.Kafka.publish(ctx, topic, rows)
	r.at("published")
	if len(taken) == 0 {
		return len(rows), err
	}
	r.sent.Add(len(taken))
	// What Kafka has goes, even if the others took all of the round's time: it would be published again and again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	statement := p.outbox.remove + strings.TrimSuffix(strings.Repeat("?,", len(taken)), ",") + ")" //nolint:gosec // G202: marks for values
	if _, removeErr := conn.ExecContext(ctx, statement, taken...); removeErr != nil {
		return len(rows), errors.Join(err, fmt.Errorf("remove published events: %w", removeErr))
	}
	r.at("removed")
	return len(rows), err
}
