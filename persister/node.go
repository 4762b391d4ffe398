// Package persister owns the way from Kafka into MySQL: one transaction per batch for the ledger and what is
// computed from it, the deletion of outbox entries that MySQL has, and the schema itself. Beside that its
// processes run what any process of a deployment may: the relay and the sweep of expired reservations. It
// decides nothing about stock.
package persister

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"

	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/expiry"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
)

const (
	// startTimeout is how long to wait at start for servers that are not up yet.
	startTimeout = 30 * time.Second
	startPause   = 250 * time.Millisecond
	openEvery    = time.Second // between two looks at whether Redis is open
	keepTimeout  = time.Second // for the last word about its data
)

// Node is a running persister.
type Node struct {
	log       *slog.Logger
	ops       *telemetry.Server
	publisher *outbox.Publisher
	meters    *meters
	watches   []*telemetry.Watch

	stopReading, stopServing context.CancelFunc
	reading, serving         sync.WaitGroup
	close                    []func(context.Context) error // in the order of opening
}

// Start connects and begins to consume; it waits a while for servers that are not up yet, and refuses a MySQL
// that could forget what it committed. The node runs until Shutdown, not until ctx ends.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (node *Node, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure persister: %w", err)
	}
	n := &Node{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeAll(ctx))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	set := metrics.NewSet()
	mysql, err := n.openMySQL(ctx, cfg)
	if err != nil {
		return nil, err
	}
	store, err := n.openRedis(ctx, cfg, set)
	if err != nil {
		return nil, err
	}
	topic, err := n.openKafka(ctx, cfg, set)
	if err != nil {
		return nil, err
	}
	if err := store.CheckLedger(ctx, evidence.NewNonces(mysql)); errors.Is(err, redisstock.ErrForeign) {
		return nil, fmt.Errorf("start persister: %w", err)
	}
	n.meters = newMeters(set)
	n.watches = watches(cfg, mysql, topic, set, log)
	checks := []telemetry.Check{
		{Name: "mysql", Probe: mysql.PingContext},
		{Name: "schema", Probe: func(ctx context.Context) error { return CheckSchema(ctx, mysql) }},
		{Name: "mysql_writes", Probe: func(context.Context) error { return n.meters.blocked.err() }},
		{Name: "kafka", Probe: func(ctx context.Context) error { return reach(ctx, topic) }},
	}
	for _, w := range n.watches {
		checks = append(checks, w.Check())
	}
	if n.ops, err = telemetry.Serve(cfg.Ops.Listen, set, checks, log); err != nil {
		return nil, err
	}
	n.run(cfg, mysql, store, topic, set)
	return n, nil
}

// watches look at what the servers are set to while the node runs.
func watches(cfg Config, mysql *sql.DB, topic *outbox.Topic, set *metrics.Set, log *slog.Logger) []*telemetry.Watch {
	return []*telemetry.Watch{
		telemetry.NewWatch(set, "mysql", db.FaultWords, func(ctx context.Context) ([]telemetry.Fault, error) {
			faults, err := db.Faults(ctx, mysql)
			if cfg.AllowVolatileMySQL {
				faults = slices.DeleteFunc(faults, func(f telemetry.Fault) bool { return f.Word == db.FaultDurability })
			}
			return faults, err
		}, log),
		telemetry.NewWatch(set, "kafka", outbox.TopicFaults, func(ctx context.Context) ([]telemetry.Fault, error) {
			c, err := topic.Condition(ctx, cfg.Kafka.Partitions)
			return c.Faults, err
		}, log),
	}
}

// openMySQL connects, and vets the server and the schema.
func (n *Node) openMySQL(ctx context.Context, cfg Config) (*sql.DB, error) {
	mysql, err := cfg.MySQL.OpenUnchecked()
	if err != nil {
		return nil, err
	}
	n.close = append(n.close, func(context.Context) error { return mysql.Close() })
	var volatile error
	err = n.await(ctx, "mysql", func() error {
		faults, err := db.Faults(ctx, mysql)
		if err != nil {
			return err
		}
		volatile = db.Durability(faults)
		return CheckSchema(ctx, mysql)
	})
	if err != nil {
		return nil, err
	}
	if volatile != nil && !cfg.AllowVolatileMySQL {
		return nil, fmt.Errorf("refuse mysql (unless --allow-volatile-mysql): %w", volatile)
	}
	if volatile != nil {
		n.log.Warn("mysql can lose what it committed", "error", volatile)
	}
	return mysql, nil
}

func (n *Node) openRedis(ctx context.Context, cfg Config, set *metrics.Set) (*redisstock.Store, error) {
	var client rueidis.Client
	err := n.await(ctx, "redis", func() (err error) {
		client, err = cfg.Redis.Client()
		return err
	})
	if err != nil {
		return nil, err
	}
	n.close = append(n.close, func(context.Context) error { client.Close(); return nil })
	store, err := redisstock.New(client, redisstock.Config{
		Partitions: cfg.Stock.Partitions, Retention: cfg.Stock.Retention, CallTimeout: cfg.Redis.CallTimeout, Metrics: set,
	})
	if err != nil {
		return nil, fmt.Errorf("open stock: %w", err)
	}
	err = n.await(ctx, "redis", func() error { return store.CheckDeployment(ctx, cfg.Stock.Deployment) })
	return store, err
}

// openKafka waits for the topic and does not make it: with a typo in its name nobody else would use it.
func (n *Node) openKafka(ctx context.Context, cfg Config, set *metrics.Set) (*outbox.Topic, error) {
	topic := outbox.NewTopic(cfg.Kafka.Brokers, cfg.Kafka.Topic)
	n.close = append(n.close, func(context.Context) error { topic.Close(); return nil })
	err := n.await(ctx, "kafka", func() error { return topic.Check(ctx, cfg.Kafka.Partitions) })
	if err != nil {
		return nil, err
	}
	n.publisher, err = outbox.NewPublisher(outbox.PublisherConfig{
		Brokers: cfg.Kafka.Brokers, Topic: cfg.Kafka.Topic, Partitions: cfg.Kafka.Partitions, Log: n.log,
	}, set)
	if err != nil {
		return nil, err
	}
	n.close = append(n.close, n.publisher.Close)
	return topic, nil
}

// await tries until it works, a setting turns out to be wrong, or ctx ends, and then returns why it did not.
func (n *Node) await(ctx context.Context, what string, try func() error) error {
	var why error
	for told := false; ; told = true {
		err := try()
		if err == nil {
			return nil
		}
		if errors.Is(err, redisstock.ErrForeign) || errors.Is(err, outbox.ErrPartitions) {
			return fmt.Errorf("start persister: %w", err)
		}
		if why == nil || ctx.Err() == nil { // a try that was cut short says less
			why = err
		}
		if !told {
			n.log.Info("waiting for a server", "server", what, "error", err)
		}
		select {
		case <-time.After(startPause):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				why = ctx.Err() // somebody wants it to end: no failure
			}
			return fmt.Errorf("start persister: %w", why)
		}
	}
}

// reach tells whether Kafka answers for the topic's partitions, by asking their leaders.
func reach(ctx context.Context, topic *outbox.Topic) error {
	_, err := topic.Ranges(ctx)
	return err
}

// run starts all goroutines. Those that read Kafka end before those that serve them.
func (n *Node) run(cfg Config, mysql *sql.DB, store *redisstock.Store, topic *outbox.Topic, set *metrics.Set) {
	var reading, serving context.Context
	reading, n.stopReading = context.WithCancel(context.Background())
	serving, n.stopServing = context.WithCancel(context.Background())

	cleaner := newCleaner(store, n.meters, n.log)
	marker := newMarker(mysql, n.meters, n.log)
	applied := func(b *batch) {
		cleaner.add(b.entries)
		for i := range b.events {
			marker.touch(b.events[i].Cell)
		}
	}
	replayer := &replayer{writer: writer{db: mysql}, applied: applied, meters: n.meters, log: n.log}
	consumer := &consumer{
		cfg: cfg, topic: topic, meters: n.meters, log: n.log,
		newWorker: func() *applier { return newApplier(mysql, n.meters, n.log) },
		applied:   applied,
	}
	relay := outbox.NewRelay(outbox.RelayConfig{
		Store: store, Publisher: n.publisher, Metrics: set, Log: n.log,
		Unread: func(ctx context.Context) ([]outbox.Range, error) { return topic.Unread(ctx, cfg.Kafka.Group) },
	})
	sweeper := expiry.Sweeper{
		Store: store, Metrics: set, Log: n.log,
		Publish: func(e stock.Entry) { n.publisher.Publish(e) }, // what does not fit is for the relay
	}
	n.reading.Go(func() { n.logEnd("consumer", consumer.run(reading)) })
	n.reading.Go(func() { n.logEnd("relay", relay.Run(reading)) })
	shut := newShutWatch(store, cfg.Kafka.Partitions, n.meters, set, n.log)
	letters := newLetterWatch(mysql, n.meters, set, n.log)
	n.reading.Go(func() { shut.run(reading) })
	n.reading.Go(func() { letters.run(reading) })
	n.reading.Go(func() { replayer.run(reading) })
	for _, w := range n.watches {
		n.serving.Go(func() { w.Run(serving) })
	}
	opened := make(chan struct{})
	n.reading.Go(func() { n.followVettings(reading, store, evidence.NewNonces(mysql), opened) })
	n.reading.Go(func() {
		select {
		case <-opened:
			n.logEnd("sweep", sweeper.Run(reading))
		case <-reading.Done():
		}
	})
	n.serving.Go(func() { cleaner.run(serving) })
	n.serving.Go(func() { marker.run(serving) })
}

// vetted is what a persister needs to know of the stock in Redis.
type vetted interface {
	Shut(ctx context.Context) (partitions []int, err error)
	Partitions() int
	Adopt(ctx context.Context, nonces stock.Nonces) error
	KeepMarks(ctx context.Context, nonces stock.Nonces) error
}

// followVettings trusts, until ctx ends, what edges have vetted: a persister vets nothing itself. It closes opened
// unless Redis is known to be shut: until then a sweep could only fail. How far the data have grown it tells MySQL,
// so that whoever trusts them later knows it too.
func (n *Node) followVettings(ctx context.Context, store vetted, nonces stock.Nonces, opened chan<- struct{}) {
	tick := time.NewTicker(openEvery)
	defer tick.Stop()
	started, told, failing, unkept := false, false, false, false
	keep := func(ctx context.Context) {
		err := store.KeepMarks(ctx, nonces)
		if err != nil && !unkept && ctx.Err() == nil {
			n.log.Warn("cannot write down yet how far Redis' data have grown", "error", err)
		}
		unkept = err != nil
	}
	for {
		shut, err := store.Shut(ctx)
		var untrusted error
		if err != nil || len(shut) > 0 {
			if untrusted = store.Adopt(ctx, nonces); untrusted == nil {
				shut, err = store.Shut(ctx)
			}
		}
		if untrusted != nil && !failing && ctx.Err() == nil {
			n.log.Warn("cannot trust yet what edges have vetted", "error", untrusted)
		}
		failing = untrusted != nil
		switch {
		case err != nil || len(shut) < store.Partitions(): // what is away or shut must not stop the others
			if !started {
				close(opened)
			}
			started, told = true, false
		case untrusted == nil && !told:
			told = true
			n.log.Info("redis is shut: reservations are swept once an edge has opened it")
		}
		keep(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			// What was persisted since the last look is in what Redis has now.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
			if _, err := store.Shut(last); err == nil {
				keep(last)
			}
			cancel()
			return
		}
	}
}

func (n *Node) logEnd(what string, err error) {
	if err != nil {
		n.log.Error("ended", "part", what, "error", err)
	}
}

// OpsAddr is the address of the ops port.
func (n *Node) OpsAddr() string { return n.ops.Addr() }

// Shutdown ends the node: it stops reading, brings what it has read into MySQL, commits the offsets, leaves
// the group, deletes the outbox entries of what it applied, and publishes what it was about to. At the end
// of ctx it does not wait for the rest: another persister repeats it, which is harmless.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ops.Drain()
	n.stopReading()
	err := wait(ctx, "reading", &n.reading)
	n.stopServing()
	return errors.Join(err, wait(ctx, "deleting", &n.serving), n.closeAll(ctx), n.ops.Shutdown(ctx))
}

func wait(ctx context.Context, what string, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut persister down: still %s: %w", what, ctx.Err())
	}
}

func (n *Node) closeAll(ctx context.Context) error {
	var failed []error
	for _, undo := range slices.Backward(n.close) {
		failed = append(failed, undo(ctx))
	}
	return errors.Join(failed...)
}
