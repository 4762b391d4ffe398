package screen

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/stock"
)

const (
	scanBatch     = 512 // cells added under one lock
	restAfterScan = time.Millisecond
	retryAfter    = time.Second
)

// Run keeps the filters in step with the cells that any node makes. It polls the numbers of cells, and scans the
// partitions whose number changed, one at a time and with rests. When ctx ends it saves what is unsaved and returns.
func (k *Known) Run(ctx context.Context) {
	var ignored stock.PartitionErrors
	for p := range k.filters {
		if err := k.restore(p); err != nil {
			ignored.Add(p, err)
		}
	}
	if err := ignored.Err(); err != nil {
		k.cfg.Log.Warn("SKU screen: saved filters ignored", "error", err)
	}
	polls := time.NewTicker(k.cfg.PollEvery)
	defer polls.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	<-rest.C
	resting, failed, next := false, 0, 0
	trouble := lifecycle.NewTrouble(k.cfg.Log, "count cells for the screen of known SKUs, which lets all of them pass meanwhile")
	poll := func() {
		err := k.poll(ctx)
		if err == nil {
			failed = 0
		} else if failed++; failed < stalePolls {
			return
		}
		k.stale.Store(err != nil)
		trouble.Saw(err)
	}
	poll()
	for ctx.Err() == nil {
		if p, ok := k.next(next); ok && !resting {
			next = p + 1
			rest.Reset(k.scanAndRest(ctx, p))
			resting = true
		}
		select {
		case <-ctx.Done():
		case <-polls.C:
			poll()
		case <-k.changed:
			poll()
		case <-rest.C:
			resting = false
		}
	}
	for p := range k.filters {
		k.save(p, 0)
	}
}

// poll reads the numbers of cells. It fails if it can read none of them. If it can read some, for example while a node
// of a cluster hangs, the other filters become incomplete after a few polls and let everything pass.
func (k *Known) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.PollEvery)
	defer cancel()
	counts, err := k.store.CellCounts(ctx)
	if err != nil && !slices.ContainsFunc(counts, func(n int64) bool { return n >= 0 }) {
		return fmt.Errorf("count cells: %w", err)
	}
	if len(counts) != len(k.filters) {
		return fmt.Errorf("count cells: %w: %d partitions, want %d", stock.ErrProtocol, len(counts), len(k.filters))
	}
	for i, n := range counts {
		f := &k.filters[i]
		f.mu.Lock()
		f.count(n)
		f.mu.Unlock()
	}
	return nil
}

// count notes the number of cells that a poll has read, or -1 if it could not read it.
func (f *filter) count(n int64) {
	if n < 0 {
		if f.missed++; f.missed >= stalePolls {
			f.counted = -1
		}
		return
	}
	f.counted, f.missed = n, 0
	if n == 0 {
		f.holds, f.scanned = 0, true
	}
	f.ready = f.ready || f.complete()
}

// next chooses the partition to scan. From the partition from on, it takes the first whose filter is not complete. If
// all are complete, it takes one whose filter came from a snapshot.
func (k *Known) next(from int) (int, bool) {
	restored := -1
	for i := range k.filters {
		p := (from + i) % len(k.filters)
		f := &k.filters[p]
		f.mu.RLock()
		complete, scanned, counted := f.complete(), f.scanned, f.counted
		f.mu.RUnlock()
		if counted >= 0 && !complete {
			return p, true
		}
		if complete && !scanned && restored < 0 {
			restored = p
		}
	}
	return restored, restored >= 0
}

// scanAndRest scans a partition, and returns how long Run must rest before the next scan. If the edge waits for this
// scan to be ready, the rest is only as long as the scan.
func (k *Known) scanAndRest(ctx context.Context, p int) time.Duration {
	f := &k.filters[p]
	f.mu.RLock()
	awaited := !f.ready
	f.mu.RUnlock()

	start := time.Now()
	err := k.scan(ctx, p)
	took := time.Since(start)
	if err != nil {
		if ctx.Err() == nil {
			k.cfg.Log.Warn("SKU screen: scan failed", "partition", p, "error", err)
		}
		return max(retryAfter, restFactor*took)
	}
	k.save(p, snapshotEvery)
	if awaited {
		return max(restAfterScan, took)
	}
	return max(restAfterScan, restFactor*took)
}

// scan fills a new filter with the cells of a partition, and replaces the old filter by it.
func (k *Known) scan(ctx context.Context, p int) error {
	f := &k.filters[p]
	f.mu.Lock()
	// A scan yields at least the cells that were there when it began.
	holds := f.counted
	filling := k.sized(holds)
	f.filling = filling
	f.mu.Unlock()

	batch := make([]byte, 0, scanBatch*stock.CellBytes)
	flush := func() {
		f.mu.Lock()
		for i := 0; i < len(batch); i += stock.CellBytes {
			filling.Add(batch[i : i+stock.CellBytes])
		}
		f.mu.Unlock()
		batch = batch[:0]
	}
	err := k.store.ScanCells(ctx, p, func(cell stock.Cell) error {
		if batch = cell.Append(batch); len(batch) == cap(batch) {
			flush()
		}
		return ctx.Err()
	})
	flush()

	f.mu.Lock()
	defer f.mu.Unlock()
	f.filling = nil
	if err != nil {
		return fmt.Errorf("scan cells of partition %d: %w", p, err)
	}
	f.bits, f.holds, f.ready, f.scanned, f.unsaved = filling, holds, true, true, true
	return nil
}
