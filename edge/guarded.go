package edge

import (
	"context"
	"errors"
	"sync/atomic"

	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
)

// guarded is the Redis of an edge, as its gate sees and opens it.
type guarded struct {
	*redisstock.Store

	publisher  *outbox.Publisher
	marks      *markKeeper
	nonces     stock.Nonces
	vetter     vetting.Vetter
	deployment string
	ours       atomic.Bool // it was open, and belongs to this deployment
}

// State asks how much of Redis is open. It also checks that Redis belongs to this deployment. A new Redis does not say so
// before somebody has opened it, so State checks again until it has seen Redis open.
func (g *guarded) State(ctx context.Context) (redisstock.State, error) {
	if !g.ours.Load() {
		if err := g.CheckDeployment(ctx, g.deployment); err != nil {
			return redisstock.StateUnknown, err
		}
	}
	state, err := g.Store.State(ctx)
	if state == redisstock.StateOpen || state == redisstock.StatePartly {
		g.ours.Store(true)
	}
	if state == redisstock.StateShut && !g.ours.Load() {
		// If MySQL does not answer, nothing speaks against Redis: the edge waits to vet it.
		if err := g.CheckLedger(ctx, g.nonces); errors.Is(err, redisstock.ErrForeign) {
			return redisstock.StateUnknown, err
		}
	}
	return state, err
}

// Adopt trusts the data that another edge has vetted.
func (g *guarded) Adopt(ctx context.Context) error {
	defer g.marks.keep()
	return g.Store.Adopt(ctx, g.nonces)
}

// Flush waits until Kafka has all events that this edge has in memory.
func (g *guarded) Flush(ctx context.Context) error { return g.publisher.Flush(ctx) }

// Vet vets Redis, opens shut partitions, and trusts the open ones.
func (g *guarded) Vet(ctx context.Context) error {
	report, err := g.vetter.Open(ctx, g.Store)
	if report.Marks != nil {
		g.marks.keep()
	}
	return err
}
