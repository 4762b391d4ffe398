package persister

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/lifecycle"
	"sluice/core/reconcile"
)

const (
	shutEvery = 10 * time.Second // between two looks at all cells
	shutShare = 40               // a pause is so many times as long as the call before it, to spare Redis
	shutNamed = 5                // cells that one line of the log names
)

// shutWatch counts the cells that are shut until they are repaired. A persister looks at the partitions whose messages it
// reads, so that one process looks at each.
type shutWatch struct {
	store      reconcile.ShutFinder
	kafka      int // partitions of the topic
	assignment func() *progress
	log        *slog.Logger
	now        func() time.Time

	mu   sync.Mutex
	seen []shutCells // by partition
}

// shutCells counts the shut cells of a partition.
type shutCells struct {
	fenced, breached int64
	at               time.Time // when; zero: never
}

func newShutWatch(store reconcile.ShutFinder, kafka int, m *meters, set *metrics.Set, log *slog.Logger) *shutWatch {
	w := &shutWatch{
		store: store, kafka: kafka, assignment: m.progress.Load, log: log, now: m.now,
		seen: make([]shutCells, store.Partitions()),
	}
	for kind, count := range map[string]func(shutCells) int64{
		"fenced":   func(c shutCells) int64 { return c.fenced },
		"breached": func(c shutCells) int64 { return c.breached },
	} {
		set.NewGauge(fmt.Sprintf("sluice_persister_shut_cells{kind=%q}", kind), func() float64 { return w.sum(count) })
	}
	set.NewGauge("sluice_persister_shut_cells_age_seconds", w.age)
	return w
}

// run looks at all cells again and again until ctx ends.
func (w *shutWatch) run(ctx context.Context) {
	lifecycle.Repeat(ctx, w.log, "look for shut cells", shutEvery, w.round)
}

// round looks at every partition of this persister, even if some fail.
func (w *shutWatch) round(ctx context.Context) (failed error) {
	for p := range w.seen {
		if !w.mine(p) {
			continue
		}
		if err := w.look(ctx, p); err != nil {
			failed = err
		}
	}
	return failed
}

func (w *shutWatch) look(ctx context.Context, partition int) error {
	found := reconcile.NewShut(shutNamed)
	start := w.now()
	for step, err := range reconcile.ShutSteps(ctx, w.store, reconcile.Place{Partition: partition}) {
		if err := errors.Join(err, step.Shut); err != nil {
			return err
		}
		found.Add(step.Found)
		if step.Next.Partition != partition {
			break
		}
		if !lifecycle.Pause(ctx, shutShare*w.now().Sub(start)) {
			return ctx.Err()
		}
		start = w.now()
	}
	w.note(partition, found)
	return nil
}

// note remembers what was found, and logs if it is more than before.
func (w *shutWatch) note(partition int, shut *reconcile.Shut) {
	found := shutCells{fenced: shut.Fenced, breached: shut.Breached, at: w.now()}
	w.mu.Lock()
	before := w.seen[partition]
	w.seen[partition] = found
	w.mu.Unlock()
	if found.fenced <= before.fenced && found.breached <= before.breached {
		return
	}
	var names []string
	for _, cell := range shut.Some {
		names = append(names, fmt.Sprintf("%v %v", cell.Cell, cell.Shut()))
	}
	w.log.Error("cells are shut until they are repaired: sluice doctor names them",
		"partition", partition, "fenced", found.fenced, "breached", found.breached, "some", strings.Join(names, "; "))
}

// mine tells whether this persister reads the messages of a partition.
func (w *shutWatch) mine(partition int) bool {
	p := w.assignment()
	return p != nil && p.has(partition%w.kafka)
}

// sum returns NaN until every partition has been looked at, because an unknown number must not look like 0.
func (w *shutWatch) sum(count func(shutCells) int64) float64 {
	if w.assignment() == nil {
		return math.NaN()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var sum int64
	for p, seen := range w.seen {
		if !w.mine(p) {
			continue
		}
		if seen.at.IsZero() {
			return math.NaN()
		}
		sum += count(seen)
	}
	return float64(sum)
}

// age returns the age of the oldest figure in seconds, or NaN while a figure is missing.
func (w *shutWatch) age() float64 {
	if w.assignment() == nil {
		return math.NaN()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	oldest := now
	for p, seen := range w.seen {
		switch {
		case !w.mine(p):
		case seen.at.IsZero():
			return math.NaN()
		case seen.at.Before(oldest):
			oldest = seen.at
		}
	}
	return now.Sub(oldest).Seconds()
}
