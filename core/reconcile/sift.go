package reconcile

import (
	"context"
	"fmt"
	"sync"

	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// pageCells is how many cells of MySQL are in memory at once. There are two such pages.
const pageCells = 4000

// sift passes the cells that are plainly in sync, and finds the others. It reads MySQL in the order of its key,
// because looking cells up is ten times slower. After each page it reads the same cells from Redis.
func (w *sweep) sift(ctx context.Context) error {
	pages, stop := make(chan []ledger.Brief), make(chan struct{})
	defer close(stop)
	var failed error
	go func() {
		defer close(pages)
		for after := (stock.Cell{}); ; {
			page := make([]ledger.Brief, 0, pageCells)
			failed = w.snapshot(ctx, func(s *ledger.Snapshot) error {
				return s.BriefsAfter(ctx, after, w.scope.Sale, pageCells, func(b *ledger.Brief) error {
					page = append(page, *b)
					return nil
				})
			})
			if failed != nil || len(page) == 0 {
				return
			}
			after = page[len(page)-1].Cell
			select {
			case pages <- page:
			case <-stop:
				return
			}
			if len(page) < pageCells {
				return
			}
		}
	}()
	begun := w.Now()
	for page := range pages {
		w.compare(ctx, page)
		w.rest(ctx, begun)
		begun = w.Now()
		w.progressed(0)
	}
	return failed
}

// compare compares a page with Redis.
func (w *sweep) compare(ctx context.Context, page []ledger.Brief) {
	cells := make([]stock.Cell, len(page))
	for i := range page {
		cells[i] = page[i].Cell
	}
	found, errs := w.Redis.ManyCellsNow(ctx, cells)
	inSync := int64(0)
	now := sync.OnceValue(func() show.Moment { return w.clock(ctx) })
	for i := range page {
		b, c := &page[i], &found[i]
		p := w.parts[b.Cell.Partition(len(w.parts))]
		switch {
		case p.failed:
			continue
		case errs[i] != nil:
			p.fail(fromRedis(errs[i]))
			continue
		case !c.Loaded && !c.Unreadable:
			w.absent(p, b, now)
			continue
		}
		p.inBoth.add(b.Cell)
		if h := p.holds[b.Cell]; h != nil {
			h.read(b)
		}
		if p.passes(b, &c.CellState) {
			delete(p.holds, b.Cell)
			p.passed++
			inSync++
		}
	}
	w.addInSync(inSync)
}

// passes reports whether a cell is plainly in sync, and notes a doubt otherwise. A cell to which nothing has happened in
// the time of the scope is neither.
func (p *partition) passes(b *ledger.Brief, c *stock.CellState) bool {
	switch {
	case p.doubts[b.Cell] != nil:
		return false
	case p.scope.SinceMS > b.UpdatedMS && c.Position == b.Position:
		return false
	case c.Position != b.Position || c.Balances != b.Balances || !b.Whole() || b.RowsDiffer, p.holds[b.Cell] != nil && !p.holds[b.Cell].same():
		p.doubtful(b.Cell)
		return false
	}
	return true
}

// addInSync counts cells that are plainly in sync.
func (w *sweep) addInSync(inSync int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.count(InSync, inSync)
}

// absent judges a cell that MySQL has and Redis has not. MySQL was read first, so Redis must have had it.
func (w *sweep) absent(p *partition, b *ledger.Brief, now func() show.Moment) {
	if p.doubts[b.Cell] == nil && b.UpdatedMS >= w.scope.SinceMS {
		v := View{Cell: b.Cell, NowMS: int64(now()), Projection: &State{b.Position, b.Balances}, UpdatedMS: b.UpdatedMS}
		w.keep(&v, Judge(&v))
	}
}

// alone finds the cells of a partition that Redis has and MySQL has not. If both have the same cells, the comparison
// of folds shows it at once. Otherwise alone compares all cells of the partition again, because MySQL may have got some
// of them behind the page that was just read.
func (p *partition) alone(ctx context.Context) error {
	if p.inRedis == p.inBoth {
		return nil
	}
	p.addInSync(-p.passed)
	seen := map[stock.Cell]bool{}
	for cursor := uint64(0); ; {
		begun := p.Now()
		found, next, err := p.Redis.ViewCells(ctx, p.number, cursor)
		if err != nil {
			return fromRedis(err)
		}
		if err := p.lookUp(ctx, found, seen); err != nil {
			return err
		}
		p.rest(ctx, begun)
		if cursor = next; next == 0 {
			return nil
		}
	}
}

func (p *partition) lookUp(ctx context.Context, found []redisstock.CellView, seen map[stock.Cell]bool) error {
	var cells []stock.Cell
	at := map[stock.Cell]*stock.CellState{}
	for i := range found {
		if c := found[i].Cell; p.scope.has(c) && p.doubts[c] == nil && !seen[c] {
			seen[c] = true
			cells, at[c] = append(cells, c), &found[i].CellState
		}
	}
	inSync := int64(0)
	err := p.Books.Moments().Briefs(ctx, cells, func(b *ledger.Brief) error {
		if p.passes(b, at[b.Cell]) {
			inSync++
		}
		delete(at, b.Cell)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look cells up: %w", err)
	}
	for c := range at { // MySQL lacks it
		p.doubtful(c)
	}
	p.addInSync(inSync)
	return nil
}
