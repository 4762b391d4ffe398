package edge

import (
	"context"
	"path/filepath"
	"time"

	"sluice/core/auth"
	"sluice/core/lifecycle"
	"sluice/core/sessions"
)

// What the edge does with the tokens of sessions that have ended.
const (
	endedRefuse = "refuse"
	endedAccept = "accept"
)

// shopKeysTimeout bounds one request for the keys that the shop publishes.
const shopKeysTimeout = 5 * time.Second

// followShop takes the keys that the shop published last, and follows it from there: its keys, and which sessions have ended.
func (n *Node) followShop(ctx context.Context, background *lifecycle.Group) {
	n.ended = auth.NewEnded()
	ended := sessions.New(sessions.Config{Brokers: n.cfg.Kafka.Brokers, Ended: n.ended, Service: "edge", Metrics: n.set, Log: n.log})
	if n.cfg.ShopKeysURL == "" {
		return
	}
	n.shoppers = auth.NewShoppers()
	follow := auth.Follow{
		URL: n.cfg.ShopKeysURL, File: filepath.Join(n.cfg.DataDir, "shop-keys.json"), Timeout: shopKeysTimeout, Log: n.log,
	}
	n.shoppers.Recall(ctx, follow)
	background.Run("keys of the shop", func(ctx context.Context) { n.shoppers.Follow(ctx, follow) })
	if n.cfg.EndedSessions == endedRefuse {
		background.Run("ended sessions", ended.Run)
	}
}
