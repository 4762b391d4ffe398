// Package queue lists what waits for people of the shop, and tells how much that is. Each process looks at all places, so the gauges of one
// process are those of the shop: whoever adds up processes counts twice.
package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/place"
)

// Waiting is what waits in a queue.
type Waiting struct {
	Cases  int64
	Oldest time.Duration
}

// Source tells what waits, by the names of queues. A queue that it does not name is empty. With an error it tells what it has found all the same.
type Source func(ctx context.Context) (map[string]Waiting, error)

// Read adds up what a statement finds in each place: the name of a queue, how many cases wait in it, and since how many microseconds
// the oldest does. The statement bounds what it counts, so that a look stays cheap while a crowd waits. A place that is away does not keep the
// others from being counted.
func Read(ctx context.Context, places []place.Place, statement string, values ...any) (map[string]Waiting, error) {
	all := map[string]Waiting{}
	var faults []error
	for _, p := range places {
		here, err := place.Read(ctx, p, db.Never, func(from place.Conn) (map[string]Waiting, error) {
			here := map[string]Waiting{}
			err := db.Rows(ctx, from, func(row *sql.Rows) error {
				var name string
				var cases, oldest int64
				err := row.Scan(&name, &cases, &oldest)
				here[name] = Waiting{cases, time.Duration(oldest) * time.Microsecond}
				return err
			}, statement, values...)
			return here, err
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("place %s: %w", p.Name, err))
		}
		for name, w := range here {
			sum := all[name]
			all[name] = Waiting{sum.Cases + w.Cases, max(sum.Oldest, w.Oldest)}
		}
	}
	return all, errors.Join(faults...)
}

// Watch has the gauges of queues. It is safe for concurrent use.
type Watch struct {
	sources []Source
	gauges  map[string]*gauge
}

type gauge struct{ cases, oldest atomic.Int64 }

// NewWatch makes a watch and its gauges, for the queues that the sources tell of.
func NewWatch(set *metrics.Set, names []string, sources ...Source) *Watch {
	w := &Watch{sources, map[string]*gauge{}}
	for _, name := range names {
		g := &gauge{}
		w.gauges[name] = g
		label := fmt.Sprintf("{queue=%q}", name)
		set.NewGauge("sluice_catalog_queue_waiting_cases"+label, func() float64 { return float64(g.cases.Load()) })
		set.NewGauge("sluice_catalog_queue_oldest_seconds"+label, func() float64 { return time.Duration(g.oldest.Load()).Seconds() })
	}
	return w
}

// Look looks at all queues. While a part of them cannot be seen, the gauges rise and do not fall: what was there may be there still.
func (w *Watch) Look(ctx context.Context) error {
	all := map[string]Waiting{}
	var faults []error
	for _, source := range w.sources {
		found, err := source(ctx)
		faults = append(faults, err)
		for name, waiting := range found {
			if w.gauges[name] == nil {
				return fmt.Errorf("nobody knows a queue %q", name)
			}
			all[name] = waiting
		}
	}
	fault := errors.Join(faults...)
	for name, g := range w.gauges {
		seen := all[name]
		if fault != nil {
			seen = Waiting{max(seen.Cases, g.cases.Load()), max(seen.Oldest, time.Duration(g.oldest.Load()))}
		}
		g.cases.Store(seen.Cases)
		g.oldest.Store(int64(seen.Oldest))
	}
	return fault
}
