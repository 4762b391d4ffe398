package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	standEvery   = 2 * time.Second
	roundWithin  = 30 * time.Second
	removeWithin = 5 * time.Second
	// offAfter keeps a process that cannot publish off a lock until each other one has tried to take it.
	offAfter = 2*standEvery + lookEvery
	standMax = 100_000 // events that are counted
)

// Source is an owner of outboxes.
type Source struct {
	Owner  string
	Topics []string
	Places []place.Place
}

// Config says what a relay publishes, and where to.
type Config struct {
	Sources []Source
	Kafka   *Kafka
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Relay publishes the events of owners, and removes those that Kafka has. Every process runs one. It takes one connection to
// each database. Of each owner one relay works in a database at a time, by a lock of that; should two do so after all, events
// are repeated, and no order is lost that versions would not show.
type Relay struct {
	cfg       Config
	databases []*database
	wake      chan struct{}
	at        func(step string) // tests stop the process there
}

// database is the work in one database.
type database struct {
	*db.Copies
	name  string
	boxes []*box
	first int                  // box of the next round
	off   map[string]time.Time // until when the lock of an owner is left to others
	wake  chan struct{}
}

// box is an outbox and its figures.
type box struct {
	outbox       Outbox
	owner        string
	topics       []string
	took         bool         // in this round
	waiting      atomic.Int64 // events, as last seen
	oldest       atomic.Int64 // microseconds that the oldest waits
	sent, failed *metrics.Counter
}

// NewRelay makes a relay and its metrics.
func NewRelay(cfg Config) *Relay {
	r := &Relay{cfg: cfg, wake: make(chan struct{}, 1), at: func(string) {}}
	of := map[*db.Copies]*database{}
	for _, s := range cfg.Sources {
		label := fmt.Sprintf("{owner=%q}", s.Owner)
		sent := cfg.Metrics.NewCounter("sluice_catalog_outbox_published_events_total" + label)
		failed := cfg.Metrics.NewCounter("sluice_catalog_outbox_failures_total" + label)
		var boxes []*box
		for _, p := range s.Places {
			d := of[p.Copies]
			if d == nil {
				d = &database{Copies: p.Copies, name: p.Name, off: map[string]time.Time{}, wake: make(chan struct{}, 1)}
				of[p.Copies], r.databases = d, append(r.databases, d)
			}
			b := &box{outbox: Of(s.Owner, p.Suffix), owner: s.Owner, topics: s.Topics, sent: sent, failed: failed}
			d.boxes, boxes = append(d.boxes, b), append(boxes, b)
		}
		cfg.Metrics.NewGauge("sluice_catalog_outbox_waiting_events"+label, func() (sum float64) {
			for _, b := range boxes {
				sum += float64(b.waiting.Load())
			}
			return sum
		})
		cfg.Metrics.NewGauge("sluice_catalog_outbox_oldest_seconds"+label, func() (oldest float64) {
			for _, b := range boxes {
				oldest = max(oldest, time.Duration(b.oldest.Load()*1000).Seconds())
			}
			return oldest
		})
	}
	return r
}

// Wake makes the relay look at once. Whoever has committed an event may call it, so that readers get the event sooner.
func (r *Relay) Wake() { wake(r.wake) }

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, d := range r.databases {
		running.Go(func() { r.work(ctx, d) })
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.wake:
			for _, d := range r.databases {
				wake(d.wake)
			}
		}
	}
	running.Wait()
}

// work publishes what one database has, on one connection after another.
func (r *Relay) work(ctx context.Context, d *database) {
	trouble := lifecycle.NewTrouble(r.cfg.Log, "publish events of "+d.name)
	for ctx.Err() == nil {
		if err := r.connected(ctx, d, trouble); err != nil && ctx.Err() == nil {
			trouble.Saw(err)
		}
		lifecycle.Pause(ctx, lookEvery)
	}
}

// connected publishes on one connection until an error comes. Its locks end then, so that another process may have better luck.
func (r *Relay) connected(ctx context.Context, d *database, trouble *lifecycle.Trouble) (err error) {
	conn, err := d.Writer().Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	locked := map[string]func(){} // the owners whose lock the connection has
	defer func() {
		for _, unlock := range locked {
			unlock()
		}
		err = errors.Join(err, conn.Close())
	}()
	stands := time.NewTicker(standEvery)
	defer stands.Stop()
	for first := true; ctx.Err() == nil; first = false {
		select {
		case <-stands.C:
			err = d.stand(ctx, conn, locked)
		default:
			if first {
				err = d.stand(ctx, conn, locked)
			}
		}
		if err != nil {
			return err
		}
		more, refused, err := r.round(ctx, d, conn, locked)
		if err != nil {
			return err
		}
		if !refused {
			trouble.Saw(nil)
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// stand takes the locks that nobody has, and notes how many events wait.
func (d *database) stand(ctx context.Context, conn *sql.Conn, locked map[string]func()) error {
	ctx, cancel := context.WithTimeout(ctx, roundWithin)
	defer cancel()
	for _, b := range d.boxes {
		if locked[b.owner] == nil && !time.Now().Before(d.off[b.owner]) {
			unlock, taken, err := db.TryLock(ctx, conn, "outbox "+b.owner)
			if err != nil {
				return err
			}
			if taken {
				locked[b.owner] = unlock
			}
		}
		var waiting, oldest int64
		if err := conn.QueryRowContext(ctx, b.outbox.stand, standMax).Scan(&waiting, &oldest); err != nil {
			return fmt.Errorf("look at the outbox of %s: %w", b.owner, err)
		}
		b.waiting.Store(waiting)
		b.oldest.Store(max(0, oldest))
	}
	return nil
}

// round publishes the oldest events of each topic, and reports whether there may be more, and whether a partition is left
// alone. It works on the connection that has the locks: if that is lost, the round fails, and another process may begin. A
// topic or a partition that Kafka does not take keeps back its own events only. Who publishes nothing of an owner leaves its lock
// to others for a while: they may reach Kafka.
func (r *Relay) round(ctx context.Context, d *database, conn *sql.Conn, locked map[string]func()) (more, refused bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundWithin)
	defer cancel()
	var faults []error
	faulty, took := map[string]bool{}, map[string]bool{} // by owner
	for _, b := range d.turn() {
		if locked[b.owner] == nil {
			continue
		}
		b.took = false
		for _, topic := range b.topics {
			n, past, err := r.publish(ctx, b, conn, topic)
			more, refused, faults = more || n == eventsMax, refused || past, append(faults, err)
			if err != nil {
				b.failed.Inc()
				faulty[b.owner] = true
			}
		}
		took[b.owner] = took[b.owner] || b.took
	}
	for owner := range faulty {
		if !took[owner] {
			d.off[owner] = time.Now().Add(offAfter)
		}
	}
	return more, refused, errors.Join(faults...)
}

// turn returns the boxes, of which another one begins each time: one that takes all of a round's time does not keep back the
// same others for ever.
func (d *database) turn() []*box {
	first := d.first % len(d.boxes)
	d.first++
	return slices.Concat(d.boxes[first:], d.boxes[:first])
}

// row is an event in its table.
type row struct {
	id int64
	Event
}

// publish publishes the oldest events of one topic in their order, and removes those that Kafka has. It reads past the events
// of partitions that refuse, so that these do not fill the window. A page is one statement: an event never comes before an
// earlier one of its aggregate, which commits first.
func (r *Relay) publish(ctx context.Context, b *box, conn *sql.Conn, topic string) (n int, past bool, err error) {
	rows, err := b.read(ctx, conn, topic, 0, nil)
	if err != nil || len(rows) == 0 {
		return 0, false, err
	}
	partitions, refusing, err := r.cfg.Kafka.slots(ctx, topic)
	if err != nil {
		return len(rows), false, err
	}
	if past = len(refusing) > 0; past {
		if rows, err = b.read(ctx, conn, topic, len(partitions), refusing); err != nil || len(rows) == 0 {
			return 0, past, err
		}
	}
	r.at("read")
	taken, err := r.cfg.Kafka.publish(ctx, topic, partitions, rows)
	r.at("published")
	if len(taken) == 0 {
		return len(rows), past, err
	}
	b.took = true
	b.sent.Add(len(taken))
	// What Kafka has goes, even if the others took all of the round's time: it would be published again and again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	if _, removeErr := conn.ExecContext(ctx, b.outbox.remove+marks(len(taken))+")", taken...); removeErr != nil {
		return len(rows), past, errors.Join(err, fmt.Errorf("remove published events: %w", removeErr))
	}
	r.at("removed")
	return len(rows), past, err
}

// read reads the oldest events of a topic, but for those of some of its slots.
func (b *box) read(ctx context.Context, conn *sql.Conn, topic string, slots int, but []int) (rows []row, err error) {
	bytes := 0
	statement, values := b.outbox.page(topic, slots, but, eventsMax)
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
	}, statement, values...)
	if err != nil {
		return nil, fmt.Errorf("read events of %s: %w", b.owner, err)
	}
	return rows, nil
}
