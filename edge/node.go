// Package edge is the node that shoppers talk to. It admits requests, has Redis decide them in vectors, and publishes
// the events. It keeps nothing that it cannot rebuild.
package edge

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"

	"sluice/core/auth"
	"sluice/core/deployment"
	"sluice/core/evidence"
	"sluice/core/lifecycle"
	"sluice/core/operate"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/registry"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
	"sluice/core/upkeep"
	"sluice/core/vetting"
	"sluice/edge/batch"
	"sluice/edge/cells"
	"sluice/edge/front"
	"sluice/edge/internal/api"
	"sluice/edge/internal/conns"
	"sluice/edge/localstore"
	"sluice/edge/screen"
)

// Node is a running edge.
type Node struct {
	cfg Config
	log *slog.Logger
	set *metrics.Set
	ack stock.Ack

	client    rueidis.Client
	store     *redisstock.Store
	db        *sql.DB
	topic     *outbox.Topic
	publisher *outbox.Publisher
	cells     *cells.Cache
	gate      *gate
	local     *localstore.Store
	marks     *markKeeper
	redis     *guarded
	batcher   *batch.Batcher
	known     *screen.Known
	soldOut   *screen.SoldOut
	users     *registry.Registry
	screened  *screen.Registered
	shoppers  *auth.Shoppers // nil: only the keys of the file sign tokens
	ended     *auth.Ended    // sessions of the shop
	front     *front.Front   // nil: the catalog has its own address

	api      *api.API
	listener *conns.Listener
	ops      telemetry.Server
	watches  []*telemetry.Watch

	parts lifecycle.Stack
}

// Start starts an edge. It returns when the edge serves HTTP; /readyz says when it is of use. The caller ends the edge
// with Shutdown.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure edge: %w", err)
	}
	n := &Node{cfg: cfg, log: log, set: metrics.NewSet()}
	if err := n.parts.Start(ctx, n.connect, n.startEngine, n.startBackground, n.serve, n.serveOps); err != nil {
		return nil, err
	}
	return n, nil
}

// Addr is the address of the HTTP API.
func (n *Node) Addr() string { return n.listener.Addr().String() }

// OpsAddr is the address of health, metrics and profiles.
func (n *Node) OpsAddr() string { return n.ops.Addr() }

// Shutdown ends the edge. The edge stops being ready, answers every request that it has read, and hands every event to
// Kafka. When ctx ends, Shutdown cuts off what is not done, and the error says so.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ops.Drain()
	n.api.Drain()
	lifecycle.Pause(ctx, n.cfg.DrainDelay)
	return n.parts.Stop(ctx)
}

// connect makes the clients of Redis, MySQL and Kafka. Only Redis must be reachable, and must belong to this deployment.
func (n *Node) connect(ctx context.Context) error {
	n.parts.Later("stop ops server", n.ops.Shutdown) // last of all, so that an operator can watch the rest
	var err error
	if n.ack, err = n.cfg.Stock.AckLevel(); err != nil {
		return err
	}
	opened, err := deployment.OpenRedis(ctx, n.cfg.Redis, n.cfg.Stock.Agreed, redisstock.Config{
		Ack: n.ack, OutboxEntriesMax: n.cfg.Stock.OutboxEntriesMax, ReplicaTimeout: n.cfg.Replicas.Timeout, Metrics: n.set,
	})
	if err != nil {
		return err
	}
	n.parts.Close("close redis", opened.Close)
	n.client, n.store = opened.Client, opened.Stock
	if n.db, err = n.cfg.MySQL.OpenUnchecked(); err != nil {
		return err
	}
	n.parts.Later("close mysql", func(context.Context) error { return n.db.Close() })

	n.topic = outbox.NewTopic(n.cfg.Kafka.Brokers, n.cfg.Kafka.Topic)
	n.parts.Close("close kafka", n.topic.Close)
	n.publisher, err = outbox.NewPublisher(outbox.PublisherConfig{
		Brokers: n.cfg.Kafka.Brokers, Topic: n.cfg.Kafka.Topic, Partitions: n.cfg.Kafka.Partitions,
		BufferBytes: n.cfg.PublishMax, Log: n.log,
	}, n.set)
	if err != nil {
		return fmt.Errorf("configure publisher: %w", err)
	}
	n.parts.Later("flush events to kafka", n.publisher.Close)
	return nil
}

// startEngine starts the parts that decide and screen.
func (n *Node) startEngine(context.Context) error {
	local, err := localstore.Open(filepath.Join(n.cfg.DataDir, "edge.db"), n.log)
	if err != nil {
		return fmt.Errorf("use data directory (--data-dir): %w", err)
	}
	n.parts.Later("close local store", func(context.Context) error { return local.Close() })
	n.local = local

	n.marks = newMarkKeeper(n.store, local, evidence.NewNonces(n.db), n.cfg.Stock.Deployment, n.log)
	n.parts.Close("keep marks", n.marks.keep)
	n.cells = cells.New(n.heard(), cells.Config{
		CellsMax: n.cfg.CellsMax, CallTimeout: n.cfg.Redis.CallTimeout,
		Snapshots: local, Deployment: n.cfg.Stock.Deployment, Log: n.log,
	}, n.set)
	n.parts.Close("close cells", n.cells.Close)
	n.soldOut = screen.NewSoldOut(n.store, n.cells, screen.SoldOutConfig{Log: n.log}, n.set)
	n.parts.Close("close sold-out screen", n.soldOut.Close)
	n.known = screen.NewKnown(n.store, n.cells, screen.KnownConfig{
		Deployment: n.cfg.Stock.Deployment, Snapshots: local, Log: n.log,
	}, n.set)

	n.users = registry.New(n.db, n.store)
	n.screened = screen.NewRegistered(n.store, n.users.Sales, n.log, n.set)

	n.redis = &guarded{
		Store: n.store, publisher: n.publisher, marks: n.marks, nonces: evidence.NewNonces(n.db), deployment: n.cfg.Stock.Deployment,
		vetter: vetting.Vetter{
			Client: n.client, DB: n.db, Redis: n.cfg.Redis, Kafka: n.cfg.Kafka, Stock: n.cfg.Stock.Agreed,
			AllowNoPersistence: n.cfg.AllowNoPersistence, Log: n.log,
		},
	}
	n.gate = newGate(n.redis, n.set, n.log)
	n.batcher = batch.New(n.store, n.cells, n.publisher, batch.Config{
		QueueMax: n.cfg.QueueMax, ShedAfter: n.cfg.ShedAfter, VectorMax: n.cfg.VectorMax, InFlightMax: n.cfg.InFlightMax,
		CallTimeout: n.cfg.Redis.CallTimeout + 2*n.cfg.Replicas.Timeout, LogTimeout: n.cfg.LogTimeout,
		Ack: n.ack, OnShut: n.gate.suspect, OnFence: n.gate.fence, Log: n.log,
	}, n.set)
	n.parts.Later("drain batcher", n.batcher.Drain)
	return nil
}

// disarmEvery is the pause between two looks at whether a demoted primary still has scripts.
const disarmEvery = time.Second

// startBackground starts the node's own goroutines.
func (n *Node) startBackground(ctx context.Context) error {
	background, open := lifecycle.NewGroup(n.log), n.gate.open
	n.parts.Later("end background work", background.Stop)
	background.Run("gate", n.gate.run)
	if n.cfg.Restore == RestoreAuto {
		background.Run("restore", n.runRestores)
	}
	background.Run("marks", n.marks.run)
	background.Run("known SKUs", n.known.Run)
	n.followShop(ctx, background)
	if err := n.serveCatalog(background); err != nil {
		return err
	}
	background.Run("lost cells", open.After(n.newLostWatch().run))
	background.Run("registered users", open.After(n.screened.Run))
	background.Run("registrations", open.After(n.keepUsers))
	background.Run("scripts of replicas", n.disarmReplicas)
	background.Run("replica warning", open.After(n.warnOfReplicas))
	background.Run("outbox watch", open.After(newOutboxWatch(n.store.OutboxStats, n.cfg.Stock.OutboxEntriesMax, n.set).run))
	n.watches = n.newWatches()
	for _, w := range n.watches {
		background.Run("watch", w.Run)
	}
	upkeep.Start(background, open, upkeep.Config{
		Store: n.store, Publisher: n.publisher, Topic: n.topic, Group: n.cfg.Kafka.Group,
		Expired: n.published().publish, Between: n.cfg.Between, Metrics: n.set, Log: n.log,
	})
	return nil
}

// disarmReplicas takes the scripts from demoted primaries. Sentinels are asked for those, as the client knows the primary only.
func (n *Node) disarmReplicas(ctx context.Context) {
	followers := redis.NewFollowers(n.cfg.Redis)
	defer followers.Close()
	lifecycle.Repeat(ctx, n.log, "take scripts from replicas", disarmEvery, func(ctx context.Context) error {
		if !n.cfg.Redis.BySentinel() {
			return n.store.DisarmReplicas(ctx, n.client.Nodes())
		}
		replicas, err := followers.Clients(ctx)
		return errors.Join(err, n.store.DisarmReplicas(ctx, replicas))
	})
}

// warnOfReplicas logs what is wrong with the replicas for the deployment's acknowledge level.
func (n *Node) warnOfReplicas(ctx context.Context) {
	warning, err := operate.WarningOf(ctx, n.ack, n.store)
	switch {
	case err != nil:
		n.log.WarnContext(ctx, warning, "error", err)
	case warning != "":
		n.log.WarnContext(ctx, warning)
	}
}

// published returns the store for callers that do not use the batcher.
func (n *Node) published() published {
	return published{Store: n.store, publisher: n.publisher, cells: n.cells}
}
