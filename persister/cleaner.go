package persister

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

const (
	// cleanEvery is the least time for which edges rely on finding an entry: they follow the outbox of sold-out cells to
	// learn of accepted ids and returned stock.
	cleanEvery   = stock.EntryLifeMin
	cleanTimeout = time.Second
	cleanAtOnce  = 1000    // ids of one call
	cleanMax     = 200_000 // ids that wait; the relay publishes further entries again, and they come back
)

// outboxDeleter is the part of the store that the cleaner needs.
type outboxDeleter interface {
	Partitions() int
	OutboxDelete(ctx context.Context, partition int, ids []string) (int64, error)
}

// cleaner deletes outbox entries that MySQL has. If it fails, only memory suffers: a relay publishes an entry that stays
// again, a persister applies it again without effect, and it comes back here.
type cleaner struct {
	store  outboxDeleter
	meters *meters
	log    *slog.Logger

	mu      sync.Mutex
	young   map[int][]string // partition -> ids that came after the last tick
	waiting int              // ids that are not deleted yet
}

func newCleaner(store outboxDeleter, m *meters, log *slog.Logger) *cleaner {
	return &cleaner{store: store, meters: m, log: log, young: map[int][]string{}}
}

// add takes the ids of entries that MySQL has.
func (c *cleaner) add(entries map[int][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for partition, ids := range entries {
		if partition >= c.store.Partitions() {
			continue // of another deployment, or made up
		}
		if c.waiting+len(ids) > cleanMax {
			c.meters.cleanDropped.Add(len(ids))
			continue
		}
		c.waiting += len(ids)
		c.young[partition] = append(c.young[partition], ids...)
	}
}

// run deletes until ctx ends, then once more.
func (c *cleaner) run(ctx context.Context) {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	trouble := lifecycle.NewTrouble(c.log, "delete outbox entries")
	ripe := map[int][]string{}
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			last = true
			<-tick.C
		}
		trouble.Saw(c.delete(ripe))
		c.ripen(ripe)
		if last {
			<-tick.C
			_ = c.delete(ripe) // what stays is for the relay
		}
	}
}

// ripen moves the ids that came after the last tick to ripe. The next tick deletes them.
func (c *cleaner) ripen(ripe map[int][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for partition, ids := range c.young {
		ripe[partition] = append(ripe[partition], ids...)
	}
	clear(c.young)
}

// delete deletes what it can and leaves the rest in ripe.
func (c *cleaner) delete(ripe map[int][]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	var failed error
	for partition, ids := range ripe {
		left, err := c.deleteOf(ctx, partition, ids)
		if err != nil {
			c.meters.cleanFailures.Inc()
			failed = err
		}
		c.mu.Lock()
		c.waiting -= len(ids) - len(left)
		c.mu.Unlock()
		if ripe[partition] = left; len(left) == 0 {
			delete(ripe, partition)
		}
	}
	return failed
}

// deleteOf deletes ids and returns those that are left. It drops an id that Redis refuses for good, so that the others do
// not wait for it.
func (c *cleaner) deleteOf(ctx context.Context, partition int, ids []string) (left []string, err error) {
	var refused error
	for atOnce := cleanAtOnce; len(ids) > 0; {
		n := min(len(ids), atOnce)
		deleted, err := c.store.OutboxDelete(ctx, partition, ids[:n])
		switch {
		case err == nil:
			c.meters.cleaned.Add(int(deleted))
			ids = ids[n:]
		case !errors.Is(err, stock.ErrProtocol):
			return ids, fmt.Errorf("delete outbox entries of partition %d: %w", partition, err)
		case n > 1:
			atOnce = n / 2 // until only the one is left
		default:
			c.meters.cleanDropped.Inc()
			refused = fmt.Errorf("delete outbox entry %s of partition %d: %w", ids[0], partition, err)
			ids, atOnce = ids[1:], cleanAtOnce
		}
	}
	return nil, refused
}
