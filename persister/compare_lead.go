package persister

import (
	"context"
	"sync"
	"time"

	"sluice/core/lifecycle"
)

const (
	leaseFor   = 30 * time.Second // after which another persister compares in place of one that was killed
	leaseEvery = 5 * time.Second
)

// lead asks for the lease of comparisons until ctx ends, and compares everything while this persister holds it.
func (c *comparer) lead(ctx context.Context) {
	lifecycle.Repeat(ctx, c.log, "ask which persister compares the stores", leaseEvery, func(ctx context.Context) error {
		held, err := c.journal.Lease(ctx, c.by, leaseFor)
		if held {
			c.whileHeld(ctx)
		}
		return err
	})
}

// whileHeld compares until ctx ends or the lease is lost, and gives the lease back.
func (c *comparer) whileHeld(ctx context.Context) {
	working, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { c.sweepAll(working) })
	work.Go(func() { c.passOlder(working) })
	c.renew(ctx)
	cancel()
	work.Wait()
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), leaseEvery)
	defer cancel()
	if err := c.journal.Release(ctx, c.by); err != nil {
		c.log.Warn("another persister begins to compare the stores only once the lease ends", "error", err)
	}
}

// renew asks for the lease again and again, until ctx ends, another one has it, or it ends because MySQL does not answer.
func (c *comparer) renew(ctx context.Context) {
	for ends := c.now().Add(leaseFor); lifecycle.Pause(ctx, leaseEvery); {
		asked := c.now()
		held, err := c.ask(ctx)
		switch {
		case held:
			ends = asked.Add(leaseFor)
		case err == nil || !c.now().Add(leaseEvery).Before(ends):
			return
		}
	}
}

func (c *comparer) ask(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	return c.journal.Lease(ctx, c.by, leaseFor)
}
