package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"sluice/core/auth"
	"sluice/core/cors"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
	"sluice/edge/internal/api"
	"sluice/edge/internal/conns"
)

// adminTimeout bounds one admin request, which may be many calls: a sale has up to 10,000 SKUs.
const adminTimeout = 30 * time.Second

// openTimeout bounds how long /readyz waits for parts of Redis that hang. It is shorter than the timeout of a check, so
// that the answer still has the state of the other parts.
const openTimeout = 500 * time.Millisecond

var (
	errShut = errors.New("redis is shut until it is vetted")
	// ErrPartlyShut means that an edge sells from some partitions of Redis only.
	ErrPartlyShut = errors.New("some partitions of redis are shut until they are vetted")
)

// serve serves the HTTP API.
func (n *Node) serve(ctx context.Context) error {
	keys, err := auth.ReadKeys(n.cfg.TokenKeyFile)
	if err != nil {
		return err
	}
	books, err := n.openBooks()
	if err != nil {
		return err
	}
	limits, err := n.shareLimits(keys)
	if err != nil {
		return err
	}
	store := n.published()
	origins, err := cors.Parse(n.cfg.CORSOrigins)
	if err != nil {
		return err
	}
	parts := api.Parts{
		Decider: n.batcher, Reader: n.heard(), Cells: n.cells, Known: n.known, SoldOut: n.soldOut, Serves: n.serves,
		Books:         books,
		Sales:         sale.NewDesk(store, n.db, n.cfg.Stock.Retention).Bringing(n.users.BringSale),
		Registrations: n.users, Registered: n.screened,
		Transfer: func(ctx context.Context, t stock.TransferRequest) (bool, error) { return stock.Transfer(ctx, store, t) },
		Tokens: auth.NewVerifier(keys, auth.VerifierConfig{
			Issuer: n.cfg.TokenIssuer, Audience: n.cfg.TokenAudience, CacheMax: n.cfg.TokensMax, Shoppers: n.shoppers, Ended: n.ended,
		}),
		Front: n.front, Origins: origins,
		Users: limits.users, Addresses: limits.addresses,
		SalesOnly:   n.cfg.ShoppersHold == holdInSales,
		Between:     n.cfg.Between,
		Retention:   n.cfg.Stock.Retention,
		ReadTimeout: n.cfg.Redis.CallTimeout, AdminTimeout: adminTimeout,
		Metrics: n.set, Log: n.log, Now: time.Now,
	}
	for _, network := range n.cfg.TrustedProxies {
		parts.Proxies = append(parts.Proxies, netip.MustParsePrefix(network)) // Validate has parsed it
	}
	n.api = api.New(parts)
	connections, err := connectionsFor(n.cfg.ConnectionsMax, n.log)
	if err != nil {
		return err
	}
	n.listener, err = conns.Listen(ctx, n.cfg.Listen, conns.Config{
		Max: connections, PerAddressMax: n.cfg.ConnectionsPerAddressMax,
		Full: api.RefusedConnection(false), Crowded: api.RefusedConnection(true), Metrics: n.set, Log: n.log,
		Timeouts: conns.Timeouts{Read: n.cfg.ReadTimeout, Write: n.cfg.WriteTimeout, Idle: n.cfg.IdleTimeout},
	})
	if err != nil {
		return fmt.Errorf("serve http (--listen): %w", err)
	}
	server := n.api.Server(n.listener, connections)
	served := make(chan error, 1)
	go func() { served <- server.Serve(n.listener) }()
	n.parts.Later("drain http", func(ctx context.Context) error {
		return errors.Join(n.listener.Drain(ctx), <-served, server.ShutdownWithContext(ctx))
	})
	return nil
}

// checkOpen fails if no partition of Redis is open. A part that hangs does not hide the others.
func (n *Node) checkOpen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	why := n.gate.why(errShut) // first: a vetting that ends meanwhile may have opened the rest
	switch state, err := n.redis.State(ctx); {
	case state == redisstock.StateOpen || state == redisstock.StatePartly:
		return nil
	case err != nil:
		return err
	}
	return why
}

// serveOps serves health and metrics.
func (n *Node) serveOps(context.Context) error {
	var schemaSeen atomic.Bool
	checks := []telemetry.Check{
		{Name: "redis", Probe: n.store.Ping},
		{Name: "redis_open", Probe: n.checkOpen},
		{Name: "redis_partitions", Degrades: true, Probe: func(context.Context) error {
			switch state, err := n.store.Seen(); {
			case state != redisstock.StatePartly:
				return nil
			case err != nil:
				return fmt.Errorf("some partitions of redis do not answer: %w", err)
			}
			return n.gate.why(ErrPartlyShut)
		}},
		{Name: "sku_screen", Probe: func(context.Context) error {
			if !n.known.Ready() {
				return errors.New("the filters of known SKUs have not been complete since the start, or the numbers of cells are unknown")
			}
			return nil
		}},
		{Name: "schema", Probe: func(ctx context.Context) error {
			// A schema that was current once stays so. Without this, selling would depend on MySQL.
			if n.cfg.CheckSchema == nil || schemaSeen.Load() {
				return nil
			}
			err := n.cfg.CheckSchema(ctx, n.db)
			schemaSeen.Store(err == nil)
			return err
		}},
	}
	return n.ops.Serve(n.cfg.Ops.Listen, n.set, telemetry.WithWatches(checks, n.watches), n.log)
}
