// Package persister owns the way from Kafka into MySQL. One transaction per batch writes the ledger and everything
// computed from it. Then the persister deletes the outbox entries that MySQL has. The package also owns the schema of
// these tables. Like every process of a deployment, a persister runs the relay and the sweep of expired reservations. It
// decides nothing about stock.
package persister

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/deployment"
	"sluice/core/evidence"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
	"sluice/core/upkeep"
)

// startTimeout is how long to wait at start for servers that are not up yet.
const startTimeout = 30 * time.Second

const (
	openEvery   = time.Second // between two looks at whether Redis is open
	keepTimeout = time.Second // for the last report about its data
)

// Node is a running persister.
type Node struct {
	cfg Config
	log *slog.Logger
	set *metrics.Set

	mysql     *sql.DB
	reading   *sql.DB // for comparisons, so that they take no connection from writers
	store     *redisstock.Store
	topic     *outbox.Topic
	publisher *outbox.Publisher
	meters    *meters
	watches   []*telemetry.Watch
	ops       telemetry.Server

	parts lifecycle.Stack
}

// Start connects and begins to consume. It waits a while for servers that are not up yet, and refuses a MySQL that could
// forget what it committed. The node runs until Shutdown, not until ctx ends.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure persister: %w", err)
	}
	n := &Node{cfg: cfg, log: log, set: metrics.NewSet()}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.parts.Start(ctx, n.openMySQL, n.openRedis, n.openKafka, n.serveOps, n.run); err != nil {
		return nil, err
	}
	return n, nil
}

// OpsAddr is the address of the ops port.
func (n *Node) OpsAddr() string { return n.ops.Addr() }

// Shutdown ends the node. The node stops reading, writes the messages that it has into MySQL, commits the offsets,
// leaves the group, deletes the outbox entries of applied events, and publishes the events that wait in its buffer.
// When ctx ends, Shutdown waits no longer: another persister repeats the rest, which is harmless.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ops.Drain()
	return n.parts.Stop(ctx)
}

// openMySQL connects, and vets the server and the schema.
func (n *Node) openMySQL(ctx context.Context) error {
	n.parts.Later("stop ops server", n.ops.Shutdown) // last of all, so that an operator can watch the rest
	var err error
	if n.mysql, err = n.cfg.MySQL.OpenUnchecked(); err != nil {
		return err
	}
	n.parts.Later("close mysql", func(context.Context) error { return n.mysql.Close() })
	few := n.cfg.MySQL
	few.ConnsMax = compareConns
	if n.reading, err = few.OpenUnchecked(); err != nil {
		return err
	}
	n.parts.Later("close mysql of comparisons", func(context.Context) error { return n.reading.Close() })
	var volatile error
	err = n.await(ctx, "mysql", func() error {
		faults, err := db.Faults(ctx, n.mysql)
		if err != nil {
			return err
		}
		volatile = db.Durability(faults)
		return Schema().Check(ctx, n.mysql)
	})
	switch {
	case err != nil:
		return err
	case volatile == nil:
	case !n.cfg.AllowVolatileMySQL:
		return fmt.Errorf("refuse mysql (unless --allow-volatile-mysql): %w", volatile)
	default:
		n.log.WarnContext(ctx, "mysql can lose what it committed", "error", volatile)
	}
	return nil
}

// openRedis connects, and refuses the stock of another deployment.
func (n *Node) openRedis(ctx context.Context) error {
	var redis *deployment.Redis
	err := n.await(ctx, "redis", func() (err error) {
		redis, err = deployment.OpenRedis(ctx, n.cfg.Redis, n.cfg.Stock, redisstock.Config{Metrics: n.set})
		return err
	})
	if err != nil {
		return err
	}
	n.parts.Close("close redis", redis.Close)
	n.store = redis.Stock
	if err := n.store.CheckLedger(ctx, evidence.NewNonces(n.mysql)); errors.Is(err, redisstock.ErrForeign) {
		return fmt.Errorf("start persister: %w", err)
	}
	return nil
}

// openKafka waits for the topic. It does not make it: if the name has a typo, nobody else would use that topic.
func (n *Node) openKafka(ctx context.Context) error {
	k := n.cfg.Kafka
	n.topic = outbox.NewTopic(k.Brokers, k.Topic)
	n.parts.Close("close kafka", n.topic.Close)
	err := n.await(ctx, "kafka", func() error { return n.topic.Check(ctx, k.Partitions) })
	if err != nil {
		return err
	}
	n.publisher, err = outbox.NewPublisher(outbox.PublisherConfig{
		Brokers: k.Brokers, Topic: k.Topic, Partitions: k.Partitions, Log: n.log,
	}, n.set)
	if err != nil {
		return err
	}
	n.parts.Later("flush events to kafka", n.publisher.Close)
	return nil
}

// await waits for a server, but not for one that belongs to others.
func (n *Node) await(ctx context.Context, server string, try func() error) error {
	err := lifecycle.Await(ctx, n.log, server, try, redisstock.ErrForeign, outbox.ErrPartitions)
	if err != nil {
		return fmt.Errorf("start persister: %w", err)
	}
	return nil
}

// serveOps serves health and metrics.
func (n *Node) serveOps(context.Context) error {
	n.meters = newMeters(n.set)
	n.watches = n.newWatches()
	checks := []telemetry.Check{
		{Name: "mysql", Probe: n.mysql.PingContext},
		{Name: "schema", Probe: func(ctx context.Context) error { return Schema().Check(ctx, n.mysql) }},
		{Name: "mysql_writes", Probe: func(context.Context) error { return n.meters.blocked.err() }},
		{Name: "kafka", Probe: n.reachKafka},
	}
	return n.ops.Serve(n.cfg.Ops.Listen, n.set, telemetry.WithWatches(checks, n.watches), n.log)
}

// reachKafka asks the leaders of the topic's partitions.
func (n *Node) reachKafka(ctx context.Context) error {
	_, err := n.topic.Ranges(ctx)
	return err
}

// newWatches makes the watches that look at the servers' settings while the node runs.
func (n *Node) newWatches() []*telemetry.Watch {
	mysql := func(ctx context.Context) ([]telemetry.Fault, error) {
		faults, err := db.Faults(ctx, n.mysql)
		if n.cfg.AllowVolatileMySQL {
			faults = slices.DeleteFunc(faults, func(f telemetry.Fault) bool { return f.Word == db.FaultDurability })
		}
		return faults, err
	}
	return []*telemetry.Watch{
		telemetry.NewWatch(n.set, "mysql", db.FaultWords, mysql, n.log),
		n.topic.Watch(n.set, n.cfg.Kafka.Partitions, n.log),
	}
}

// run starts all background work. The group that reads Kafka stops before the group that serves it.
func (n *Node) run(context.Context) error {
	serving, reading := lifecycle.NewGroup(n.log), lifecycle.NewGroup(n.log)
	n.parts.Later("end deleting", serving.Stop)
	n.parts.Later("end reading", reading.Stop)

	cleaner := newCleaner(n.store, n.meters, n.log)
	marker := newMarker(n.mysql, n.meters, n.log)
	comparer := n.newComparer()
	serving.Run("cleaner", cleaner.run)
	if n.cfg.ReconcileWithin > 0 {
		marker.moved = comparer.touch
	}
	serving.Run("marker", marker.run)
	for _, w := range n.watches {
		serving.Run("watch", w.Run)
	}
	applied := func(b *batch) {
		cleaner.add(b.entries)
		for i := range b.events {
			marker.touch(b.events[i].Cell)
		}
	}
	consumer := &consumer{
		cfg: n.cfg, topic: n.topic, meters: n.meters, log: n.log,
		newWorker: func() *applier { return newApplier(n.mysql, n.meters, n.log) },
		applied:   applied,
	}
	replayer := &replayer{writer: writer{db: n.mysql}, applied: applied, meters: n.meters, log: n.log}
	mender := &mender{writer: writer{db: n.mysql}, log: n.log}
	reading.Go("consumer", consumer.run)
	reading.Run("replayer", replayer.run)
	reading.Run("mender", mender.run)
	reading.Run("shut watch", newShutWatch(n.store, n.cfg.Kafka.Partitions, n.meters, n.set, n.log).run)
	reading.Run("letter watch", newLetterWatch(n.mysql, n.meters, n.set, n.log).run)
	reading.Run("archive watch", newArchiveWatch(n.mysql, n.meters, n.set, n.log).run)

	if n.cfg.ReconcileWithin > 0 {
		reading.Run("comparer of changes", comparer.followChanges)
		reading.Run("comparer of all", comparer.lead)
	}
	reading.Run("reconciliation watch", comparer.watch.run)

	open := lifecycle.NewSignal()
	reading.Run("openness", func(ctx context.Context) {
		n.followVettings(ctx, n.store, evidence.NewNonces(n.mysql), open)
	})
	upkeep.Start(reading, open, upkeep.Config{
		Store: n.store, Publisher: n.publisher, Topic: n.topic, Group: n.cfg.Kafka.Group,
		Expired: func(e stock.Entry) { n.publisher.Publish(e) }, // the relay publishes what does not fit
		Metrics: n.set, Log: n.log,
	})
	return nil
}

// vetted tells a persister whether Redis was vetted.
type vetted interface {
	Shut(ctx context.Context) (partitions []int, err error)
	Partitions() int
	Adopt(ctx context.Context, nonces stock.Nonces) error
	KeepMarks(ctx context.Context, nonces stock.Nonces) error
}

// followVettings makes the store trust the data that edges have vetted, until ctx ends. A persister vets nothing
// itself. It raises open unless all of Redis is known to be shut, because a sweep could only fail then. It also reports
// to MySQL how far the data have grown, so that a process that trusts them later knows it too.
func (n *Node) followVettings(ctx context.Context, store vetted, nonces stock.Nonces, open *lifecycle.Signal) {
	told := false
	trusting := lifecycle.NewTrouble(n.log, "trust what edges have vetted")
	keeping := lifecycle.NewTrouble(n.log, "write down how far Redis' data have grown")
	for {
		shut, err := store.Shut(ctx)
		var untrusted error
		if err != nil || len(shut) > 0 {
			if untrusted = store.Adopt(ctx, nonces); untrusted == nil {
				shut, err = store.Shut(ctx)
			}
		}
		unkept := store.KeepMarks(ctx, nonces)
		if ctx.Err() == nil {
			trusting.Saw(untrusted)
			keeping.Saw(unkept)
		}
		switch {
		case err != nil || len(shut) < store.Partitions(): // partitions that are away or shut must not stop the others
			open.Raise()
			told = false
		case untrusted == nil && !told:
			told = true
			n.log.Info("redis is shut: reservations are swept once an edge has opened it")
		}
		if !lifecycle.Pause(ctx, openEvery) {
			n.keepLast(ctx, store, nonces)
			return
		}
	}
}

// keepLast reports to MySQL how far the data have grown since the last look. Redis has everything that was persisted.
func (n *Node) keepLast(ctx context.Context, store vetted, nonces stock.Nonces) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	_, err := store.Shut(ctx)
	if err == nil {
		err = store.KeepMarks(ctx, nonces)
	}
	if err != nil {
		n.log.WarnContext(ctx, "cannot write down how far Redis' data have grown", "error", err)
	}
}
