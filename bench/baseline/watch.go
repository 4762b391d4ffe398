package baseline

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/redis/rueidis"

	"sluice/core/lifecycle"
)

var watchWay = Way{
	Name: "watch", Title: "WATCH / MULTI",
	Does:   "WATCH and GET in one round trip; MULTI, DECR, XADD and EXEC in a second one; again after a random part of a millisecond whenever somebody was faster.",
	Buyers: []int{4, 16, 64},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openRedis(ctx, p, func(o *rueidis.ClientOption) { o.BlockingPoolSize = 64 })
		if err != nil {
			return nil, err
		}
		return &watchShop{s}, nil
	},
}

type watchShop struct{ *redisShop }

// Buyer implements Shop. A transaction needs a connection of its own.
func (s *watchShop) Buyer() (Buyer, error) {
	c, release := s.client.Dedicate()
	return &watchBuyer{c, release}, nil
}

type watchBuyer struct {
	c       rueidis.DedicatedClient
	release func()
}

// Buy implements Buyer.
func (b *watchBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	for ctx.Err() == nil {
		sold, err := b.try(context.WithoutCancel(ctx), o)
		if !errors.Is(err, errConflict) {
			return sold, err
		}
		if !lifecycle.Pause(ctx, rand.N(lockPause)) {
			break
		}
	}
	return false, ErrEnded
}

// errConflict means that the stock has changed between WATCH and EXEC.
var errConflict = errors.New("conflict")

func (b *watchBuyer) try(ctx context.Context, o Order) (bool, error) {
	stock := stockKey(o.SKU)
	left, err := b.c.DoMulti(ctx, b.c.B().Watch().Key(stock).Build(), b.c.B().Get().Key(stock).Build())[1].AsInt64()
	if err != nil {
		return false, err
	}
	if left < 1 {
		return false, b.c.Do(ctx, b.c.B().Unwatch().Build()).Error()
	}
	exec := b.c.DoMulti(ctx, b.c.B().Multi().Build(), b.c.B().Decr().Key(stock).Build(), o.addOrder(b.c.B()), b.c.B().Exec().Build())[3]
	if rueidis.IsRedisNil(exec.Error()) {
		return false, errConflict
	}
	return exec.Error() == nil, exec.Error()
}

// Close implements Buyer.
func (b *watchBuyer) Close() { b.release() }
