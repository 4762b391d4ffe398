package reconcile

import (
	"context"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// partition is one partition of Redis on its way through a sweep: what of it has to be in memory at once.
type partition struct {
	*sweep

	number int
	cells  map[stock.Cell]*seen
	held   map[stock.ReservationID]struct{} // counted already: a scan may come to one twice
	counts map[buyer]int64                  // of reservations that count
	doubts map[stock.Cell]*doubt
	ids    []stock.Reservation // held, to be compared with MySQL
}

// seen is a cell, and what is held of it.
type seen struct {
	redisstock.CellView

	held int64
}

type buyer struct {
	cell stock.Cell
	user int64
}

// doubt is why a cell is looked at closely: what of it was odd.
type doubt struct {
	ids   map[stock.ReservationID]struct{}
	users map[int64]struct{}
}

// doubtMax bounds the odd reservations and users of a cell that are looked at in one sweep.
const doubtMax = 2000

func newPartition(w *sweep, number int) *partition {
	return &partition{
		sweep: w, number: number, cells: map[stock.Cell]*seen{}, held: map[stock.ReservationID]struct{}{},
		counts: map[buyer]int64{}, doubts: map[stock.Cell]*doubt{},
	}
}

// run screens the cells of a partition, and looks at those closely that are not plainly in sync.
func (p *partition) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{p.readCells, p.readRecords, p.readBuyers, p.screen} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return p.look(ctx)
}

// doubtful has a cell looked at closely.
func (p *partition) doubtful(c stock.Cell) *doubt {
	if !p.scope.has(c) {
		return &doubt{ids: map[stock.ReservationID]struct{}{}, users: map[int64]struct{}{}}
	}
	d := p.doubts[c]
	if d == nil {
		d = &doubt{ids: map[stock.ReservationID]struct{}{}, users: map[int64]struct{}{}}
		p.doubts[c] = d
	}
	return d
}

func (p *partition) odd(r *stock.Reservation) {
	if d := p.doubtful(r.Cell); len(d.ids) < doubtMax {
		d.ids[r.ID] = struct{}{}
	}
}

func (p *partition) oddUser(c stock.Cell, user int64) {
	if d := p.doubtful(c); len(d.users) < doubtMax {
		d.users[user] = struct{}{}
	}
}

func (p *partition) readCells(ctx context.Context) error {
	for cursor := uint64(0); ; {
		found, next, err := p.Redis.ViewCells(ctx, p.number, cursor)
		if err != nil {
			return fromRedis(err)
		}
		for i := range found {
			if c := &found[i]; p.scope.has(c.Cell) && p.cells[c.Cell] == nil {
				p.cells[c.Cell] = &seen{CellView: *c}
			}
		}
		if cursor = next; next == 0 {
			return nil
		}
	}
}

// readRecords counts the held reservations one by one, and compares each with MySQL.
func (p *partition) readRecords(ctx context.Context) error {
	for cursor := uint64(0); ; {
		found, next, err := p.Redis.ViewRecords(ctx, p.number, cursor)
		if err != nil {
			return fromRedis(err)
		}
		for i := range found {
			p.record(&found[i])
		}
		if len(p.ids) >= rowsAtOnce || next == 0 {
			if err := p.compareRows(ctx); err != nil {
				return err
			}
		}
		if cursor = next; next == 0 {
			return nil
		}
	}
}

func (p *partition) record(r *stock.Reservation) {
	if r.State == stock.StateAdjusted {
		p.transit(r)
		return
	}
	if !p.scope.has(r.Cell) || r.State != stock.StateHeld && !r.Counted {
		return
	}
	if _, again := p.held[r.ID]; again {
		return
	}
	p.held[r.ID] = struct{}{}
	cell := p.cells[r.Cell]
	if cell == nil || r.Seq > cell.Seq { // later than the cell was read
		p.odd(r)
	}
	if r.Counted && (r.State == stock.StateHeld || r.State == stock.StateConfirmed) {
		p.counts[buyer{r.Cell, r.User}] += r.Quantity
	}
	if r.State == stock.StateHeld {
		if cell != nil {
			cell.held += r.Quantity
		}
		p.ids = append(p.ids, *r)
	}
}

// compareRows compares held reservations with MySQL's rows.
func (p *partition) compareRows(ctx context.Context) error {
	for some := range slices.Chunk(p.ids, rowsAtOnce) {
		rows := make(map[stock.ReservationID]ledger.Row, len(some))
		ids := make([]stock.ReservationID, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		err := p.snapshot(ctx, func(s *ledger.Snapshot) error {
			return s.Reservations(ctx, ids, func(r *ledger.Row) { rows[r.ID] = *r })
		})
		if err != nil {
			return err
		}
		for i := range some {
			r := &some[i]
			if row, ok := rows[r.ID]; !ok || row.State != r.State || row.Seq != r.Seq || row.Quantity != r.Quantity || row.Cell != r.Cell {
				p.odd(r)
			}
		}
	}
	p.mu.Lock()
	p.report.Summary.Reservations += int64(len(p.ids))
	p.mu.Unlock()
	p.ids = p.ids[:0]
	return nil
}

// readBuyers compares users' counts with the reservations that count.
func (p *partition) readBuyers(ctx context.Context) error {
	pools := map[uint32]bool{}
	for c := range p.cells {
		pools[c.Pool] = true
	}
	again := map[buyer]bool{}
	for pool := range pools {
		for cursor := uint64(0); ; {
			found, next, err := p.Redis.ViewBuyers(ctx, p.number, pool, cursor)
			if err != nil {
				return fromRedis(err)
			}
			for _, b := range found {
				key := buyer{b.Cell, b.User}
				if again[key] || !p.scope.has(b.Cell) {
					continue
				}
				again[key] = true
				if p.counts[key] != b.Units {
					p.oddUser(b.Cell, b.User)
				}
				delete(p.counts, key)
			}
			if cursor = next; next == 0 {
				break
			}
		}
	}
	for key := range p.counts { // Redis has none of them
		p.oddUser(key.cell, key.user)
	}
	p.counts, p.held = nil, nil
	return nil
}

// screen passes the cells that are plainly in sync.
func (p *partition) screen(ctx context.Context) error {
	for c, events := range p.tail {
		if c.Partition(p.Redis.Partitions()) != p.number || !p.scope.has(c) {
			continue
		}
		if s := p.cells[c]; s == nil || slices.ContainsFunc(events, func(e Event) bool { return s.Less(e.Position) }) {
			p.doubtful(c)
		}
	}
	p.mu.Lock()
	for c := range p.letters {
		if c.Partition(p.Redis.Partitions()) == p.number {
			p.doubtful(c)
		}
	}
	p.mu.Unlock()
	for _, c := range p.asked[p.number] {
		p.doubtful(c)
	}
	cells := make([]stock.Cell, 0, len(p.cells))
	for c, s := range p.cells {
		if p.whole || s.Unreadable {
			p.doubtful(c)
		}
		if p.doubts[c] == nil {
			cells = append(cells, c)
		}
	}
	slices.SortFunc(cells, compareCells)
	for some := range slices.Chunk(cells, cellsAtOnce) {
		if err := p.screenSome(ctx, some); err != nil {
			return err
		}
		p.progressed(0)
	}
	return nil
}

func (p *partition) screenSome(ctx context.Context, cells []stock.Cell) error {
	known, inSync := map[stock.Cell]bool{}, int64(0)
	err := p.snapshot(ctx, func(s *ledger.Snapshot) error {
		return s.Briefs(ctx, cells, func(b *ledger.Brief) error {
			c := p.cells[b.Cell]
			known[b.Cell] = true
			switch {
			case b.UpdatedMS < p.scope.SinceMS && c.Position == b.Position: // nothing has happened since then
			case c.Position != b.Position || c.Balances != b.Balances || c.held != c.Held || !b.Whole():
				p.doubtful(b.Cell)
			default:
				inSync++
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, c := range cells {
		if !known[c] {
			p.doubtful(c)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.count(InSync, inSync)
	return nil
}
