package edge

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
	"sluice/edge/localstore"
)

// watchEvery is the largest age of the figures about the outboxes.
const watchEvery = 5 * time.Second

// outboxWatch measures the outboxes: the entries that wait for MySQL.
type outboxWatch struct {
	stats                     func(context.Context) ([]redisstock.OutboxStat, error)
	entries, fullest, oldestS atomic.Int64
}

func newOutboxWatch(stats func(context.Context) ([]redisstock.OutboxStat, error), budget int64, set *metrics.Set) *outboxWatch {
	w := &outboxWatch{stats: stats}
	for name, figure := range map[string]*atomic.Int64{
		"sluice_edge_outbox_entries": &w.entries, "sluice_edge_outbox_fullest_partition_entries": &w.fullest, "sluice_edge_outbox_oldest_seconds": &w.oldestS,
	} {
		set.NewGauge(name, func() float64 { return float64(figure.Load()) })
	}
	set.NewGauge("sluice_edge_outbox_max_entries", func() float64 { return float64(budget) })
	return w
}

// run measures until ctx ends. If it cannot measure, the figures stay as they were; /readyz says why.
func (w *outboxWatch) run(ctx context.Context) {
	for {
		if stats, err := w.stats(ctx); err == nil {
			w.note(stats, time.Now())
		}
		if !lifecycle.Pause(ctx, watchEvery) {
			return
		}
	}
}

func (w *outboxWatch) note(stats []redisstock.OutboxStat, now time.Time) {
	sum, oldest := redisstock.SumOutboxes(stats), int64(0)
	if sum.OldestMS != 0 {
		oldest = max(0, now.Sub(time.UnixMilli(sum.OldestMS)).Milliseconds()/1000)
	}
	w.entries.Store(sum.Entries)
	w.fullest.Store(sum.Fullest)
	w.oldestS.Store(oldest)
}

// newWatches makes the watches that look at the servers' settings while the edge runs. The edge sells on whatever they
// find: a person has to weigh the risk against the sale.
func (n *Node) newWatches() []*telemetry.Watch {
	redis := func(ctx context.Context) ([]telemetry.Fault, error) {
		faults, err := n.store.Faults(ctx)
		if n.cfg.AllowNoPersistence {
			faults = slices.DeleteFunc(faults, func(f telemetry.Fault) bool { return f.Word == redisstock.FaultPersistence })
		}
		return faults, err
	}
	mysql := func(ctx context.Context) ([]telemetry.Fault, error) { return db.Faults(ctx, n.db) }
	return []*telemetry.Watch{
		telemetry.NewWatch(n.set, "redis", redisstock.FaultWords, redis, n.log),
		telemetry.NewWatch(n.set, "mysql", db.FaultWords, mysql, n.log),
		n.topic.Watch(n.set, n.cfg.Kafka.Partitions, n.log),
		telemetry.NewWatch(n.set, "local_store", localstore.FaultWords, n.local.Faults, n.log),
	}
}
