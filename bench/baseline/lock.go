package baseline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/lifecycle"
)

const (
	lockExpiry = 10 * time.Second // of a holder that died
	// A buyer that finds the lock taken, or that somebody was faster, tries again after a random part of this.
	lockPause = time.Millisecond
)

// releaseScript gives a lock back, unless it is somebody else's by now.
const releaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

var lockWay = Way{
	Name: "lock", Title: "Redis lock, GET and SET",
	Does:   "SET NX PX with a token, and GET of the stock in the same pipeline; then SET of the stock, XADD of the order and the release by script in a second one.",
	Buyers: []int{4, 16, 64},
	Open: func(ctx context.Context, p *Place) (Shop, error) {
		s, err := openRedis(ctx, p, nil)
		if err != nil {
			return nil, err
		}
		release, err := s.client.Do(ctx, s.client.B().ScriptLoad().Script(releaseScript).Build()).ToString()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("load script: %w", err), s.Close())
		}
		return &lockShop{s, release}, nil
	},
}

type lockShop struct {
	*redisShop
	release string // SHA1 of the script
}

func lockKey(sku int64) string { return "lock:" + strconv.FormatInt(sku, 10) }

// Buyer implements Shop.
func (s *lockShop) Buyer() (Buyer, error) { return lockBuyer{s}, nil }

type lockBuyer struct{ shop *lockShop }

// Buy implements Buyer.
func (b lockBuyer) Buy(ctx context.Context, o Order) (bool, error) {
	calls := context.WithoutCancel(ctx)
	c, lock, token := b.shop.client, lockKey(o.SKU), strconv.FormatInt(o.Number, 10)
	for {
		answers := c.DoMulti(calls,
			c.B().Set().Key(lock).Value(token).Nx().PxMilliseconds(lockExpiry.Milliseconds()).Build(),
			c.B().Get().Key(stockKey(o.SKU)).Build())
		err := answers[0].Error()
		if err == nil {
			left, err := answers[1].AsInt64()
			return b.sell(calls, o, lock, token, left, err)
		}
		if !rueidis.IsRedisNil(err) {
			return false, err
		}
		if !lifecycle.Pause(ctx, rand.N(lockPause)) {
			return false, ErrEnded
		}
	}
}

// sell takes a unit of those that are left, and gives the lock back.
func (b lockBuyer) sell(ctx context.Context, o Order, lock, token string, left int64, failed error) (bool, error) {
	c := b.shop.client
	var commands []rueidis.Completed
	sold := failed == nil && left > 0
	if sold {
		commands = append(commands, c.B().Set().Key(stockKey(o.SKU)).Value(strconv.FormatInt(left-1, 10)).Build(), o.addOrder(c.B()))
	}
	commands = append(commands, c.B().Evalsha().Sha1(b.shop.release).Numkeys(1).Key(lock).Arg(token).Build())
	answers := c.DoMulti(ctx, commands...)
	for _, a := range answers {
		failed = errors.Join(failed, a.Error())
	}
	if released, _ := answers[len(answers)-1].AsInt64(); failed == nil && released != 1 {
		return false, errors.New("the lock expired while its holder worked")
	}
	return sold, failed
}

// Close implements Buyer.
func (lockBuyer) Close() {}
