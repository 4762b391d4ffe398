// Package vetting compares the Redis of a deployment with its MySQL and its Kafka, and opens it. Every process that
// may open Redis uses this package, so that all compare it with the same things.
package vetting

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/evidence"
	"sluice/core/kafka"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/stock/redisstock"
)

// Vetter compares a Redis with the stores in its fields, and opens it. The caller closes the client and the database.
type Vetter struct {
	Client rueidis.Client
	DB     *sql.DB
	Redis  redis.Config // of the client
	Kafka  kafka.Config
	Stock  config.Agreed

	// AllowNoPersistence accepts a Redis without an append-only file.
	AllowNoPersistence bool
	// Log gets what was opened; nil: nothing is logged.
	Log *slog.Logger
}

// Open opens every sound partition and makes the store trust it. The error names the others, and the store stops trusting those
// that lost something. See redisstock.Open. Registered users may be missing in Redis then; edges bring them back, and no script
// refuses one of them for good before.
func (v Vetter) Open(ctx context.Context, store *redisstock.Store) (redisstock.OpenReport, error) {
	topic := outbox.NewTopic(v.Kafka.Brokers, v.Kafka.Topic)
	defer topic.Close()
	cfg := v.config()
	cfg.Publish = topic.Deliver
	if v.Redis.BySentinel() {
		cfg.Primary = v.Redis.CheckPrimary
	}
	cfg.Seen = store.Marks()
	cfg.Proven = func(proven redisstock.OpenReport) {
		store.Distrust(proven.Lost)
		store.Trust(proven.Marks)
	}
	report, err := redisstock.Open(ctx, v.Client, cfg)
	store.Distrust(report.Lost)
	if report.Marks != nil {
		store.Trust(report.Marks)
	}
	return report, err
}

// Inspect returns the objections that Open would have, and changes nothing. See redisstock.Inspect.
func (v Vetter) Inspect(ctx context.Context) (redisstock.OpenReport, []string, error) {
	return redisstock.Inspect(ctx, v.Client, v.config())
}

// Losses returns the losses that only a restore can bring back, and changes nothing. See redisstock.FindLosses.
func (v Vetter) Losses(ctx context.Context) (redisstock.Losses, error) {
	return redisstock.FindLosses(ctx, v.Client, v.config())
}

func (v Vetter) log() *slog.Logger {
	if v.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return v.Log
}

func (v Vetter) config() redisstock.OpenConfig {
	tail := evidence.KafkaTail{Brokers: v.Kafka.Brokers, Topic: v.Kafka.Topic, Group: v.Kafka.Group}
	known := evidence.New(v.DB, tail)
	return redisstock.OpenConfig{
		Partitions: v.Stock.Partitions, Deployment: v.Stock.Deployment,
		Evidence: known, Tails: known, Retention: v.Stock.Retention, Nonces: evidence.NewNonces(v.DB),
		AllowNoPersistence: v.AllowNoPersistence, Log: v.log(),
	}
}
