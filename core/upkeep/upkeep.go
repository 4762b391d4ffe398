// Package upkeep does the work that every process of a deployment does beside its own, edges and persisters alike. It
// relays entries that are still in an outbox, and gives expired reservations back. Any number of processes may do it
// at once.
package upkeep

import (
	"context"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/basket"
	"sluice/core/expiry"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// Config has the stores on which to work.
type Config struct {
	Store interface {
		outbox.RelayStore
		expiry.Store
		basket.Store
	}
	Publisher *outbox.Publisher
	Topic     *outbox.Topic
	Group     string // the group of the persisters; its progress shows what Kafka has lost
	// Expired is called with the events of expired reservations. The relay publishes those that Expired does not.
	Expired func(stock.Entry)
	Between func(stage string) // before each step of a basket; nil, except in programs of tests
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Start begins the work in a group, once the signal open says that Redis was seen open. Before that the work could
// only fail.
func Start(g *lifecycle.Group, open *lifecycle.Signal, cfg Config) {
	relay := outbox.NewRelay(outbox.RelayConfig{
		Store: cfg.Store, Publisher: cfg.Publisher, Metrics: cfg.Metrics, Log: cfg.Log,
		Unread: func(ctx context.Context) ([]outbox.Range, error) { return cfg.Topic.Unread(ctx, cfg.Group) },
	})
	sweeper := expiry.Sweeper{Store: cfg.Store, Publish: cfg.Expired, Metrics: cfg.Metrics, Log: cfg.Log}
	g.Run("relay", open.After(relay.Run))
	g.Run("sweeper", open.After(sweeper.Run))
	baskets := basket.Sweeper{Store: cfg.Store, Publish: cfg.Expired, Between: cfg.Between, Metrics: cfg.Metrics, Log: cfg.Log}
	g.Run("basket sweeper", open.After(baskets.Run))
}
