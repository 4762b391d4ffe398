package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/baseline"
	"sluice/bench/report"
	"sluice/core/local"
)

// turn is one sale of one SKU by one way.
type turn struct {
	shop         baseline.Shop
	sku, units   int64
	buyers       int
	length       time.Duration
	untilSoldOut bool // then it has no length
	number       *atomic.Int64
	self         int // process

	latency  *hdrhistogram.Histogram  // of what began after the warm-up
	accepted int64                    // in the whole turn
	measured int64                    // of these, after the warm-up and in time
	refusals int64                    // buyers that were told that nothing is left
	cpu      map[string]time.Duration // in the whole turn
	counts   []baseline.Count
}

// proofMax bounds a turn that goes on until all is sold.
const proofMax = time.Minute

// warmUp is how long a turn of a length goes on before anything is measured.
func warmUp(length time.Duration) time.Duration { return min(length/5, time.Second) }

// users is how many users buy in turn.
const users = 10_000

// run sells, and leaves the shop as it was. If ctx ends meanwhile, nothing of the turn counts.
func (t *turn) run(ctx context.Context) error {
	if err := t.shop.Stock(ctx, t.sku, t.units); err != nil {
		return fmt.Errorf("put stock on sale: %w", err)
	}
	before := t.used()
	if err := t.open(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.shop.Settle(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	t.cpu = since(before, t.used())
	var err error
	if t.counts, err = t.shop.Count(ctx, t.sku); err != nil {
		return fmt.Errorf("count: %w", err)
	}
	return t.shop.Clear(ctx, t.sku)
}

// open lets the buyers in, sells, and sees them out.
func (t *turn) open(ctx context.Context) error {
	buyers := make([]baseline.Buyer, 0, t.buyers)
	defer func() {
		for _, b := range buyers {
			b.Close()
		}
	}()
	for range t.buyers {
		b, err := t.shop.Buyer()
		if err != nil {
			return fmt.Errorf("let a buyer in: %w", err)
		}
		buyers = append(buyers, b)
	}
	return t.sell(ctx, buyers)
}

// sell has all buyers buy at the same time.
func (t *turn) sell(ctx context.Context, buyers []baseline.Buyer) error {
	length := warmUp(t.length) + t.length
	if t.untilSoldOut {
		length = proofMax
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	start := time.Now()
	clerks := make([]clerk, len(buyers))
	var wg sync.WaitGroup
	for i, b := range buyers {
		c := &clerks[i]
		*c = clerk{turn: t, from: start.Add(warmUp(t.length)), to: start.Add(length), latency: report.NewHistogram()}
		wg.Go(func() { c.serve(ctx, b) })
	}
	wg.Wait()
	var failure error
	for i := range clerks {
		c := &clerks[i]
		t.accepted += c.accepted
		t.measured += c.measured
		t.refusals += c.refusals
		t.latency.Merge(c.latency)
		if c.err != nil {
			failure = c.err
		}
	}
	return failure
}

// clerk serves one buyer, and notes what happens.
type clerk struct {
	turn                         *turn
	from, to                     time.Time
	latency                      *hdrhistogram.Histogram
	accepted, measured, refusals int64
	err                          error
}

func (c *clerk) serve(ctx context.Context, b baseline.Buyer) {
	now := time.Now()
	for ctx.Err() == nil && now.Before(c.to) {
		n := c.turn.number.Add(1)
		began := now
		sold, err := b.Buy(ctx, baseline.Order{SKU: c.turn.sku, User: 1 + n%users, Number: n})
		now = time.Now()
		switch {
		case errors.Is(err, baseline.ErrEnded):
			return
		case err != nil:
			c.err = err
			return
		case !sold:
			c.refusals++
			return
		}
		c.accepted++
		if now.After(c.from) && !now.After(c.to) {
			c.measured++
		}
		if !began.Before(c.from) {
			report.Record(c.latency, now.Sub(began))
		}
	}
}

// refused reports whether anybody was told that nothing is left.
func (t *turn) refused() bool { return t.refusals > 0 }

func (t *turn) perSecond() float64 { return float64(t.measured) / t.length.Seconds() }

// used is the CPU time that each process has used so far. Without /proc there is none.
func (t *turn) used() map[string]time.Duration {
	all := map[string]int{clientName: t.self}
	maps.Copy(all, t.shop.Processes())
	used := map[string]time.Duration{}
	for name, pid := range all {
		cpu, err := local.CPU(pid)
		if err != nil {
			return nil
		}
		used[name] = cpu
	}
	return used
}

// clientName is the process that buys.
const clientName = "client"

func since(before, after map[string]time.Duration) map[string]time.Duration {
	between := map[string]time.Duration{}
	for name, used := range after {
		between[name] = used - before[name]
	}
	return between
}
