package reconcile

import (
	"context"
	"hash/maphash"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// partition is one partition of Redis during a sweep. While it is scanned, all its data below are in memory.
// Afterwards only the cells in doubt are.
type partition struct {
	*sweep

	number          int
	failed          bool // it could not be scanned
	inRedis, inBoth fold // the cells that Redis has, and those that both have
	doubts          map[stock.Cell]*doubt

	cells  map[stock.Cell]*seen
	held   map[stock.ReservationID]struct{} // already counted, because a scan may yield one twice
	counts map[buyer]int64                  // units of reservations that count
	gave   map[buyer]int64                  // units that users have returned: their counts may be lower by so much
	ids    []stock.Reservation              // held ones, to compare with MySQL
	late   int                              // number of held reservations past their deadline
}

// fold is a condensed set of cells. Two equal folds were made from the same cells.
type fold uint64

func (f *fold) add(c stock.Cell) { *f += fold(maphash.Comparable(foldSeed, c)) }

var foldSeed = maphash.MakeSeed()

// seen is a cell, and the units held of it.
type seen struct {
	redisstock.CellView

	held int64
}

type buyer struct {
	cell stock.Cell
	user int64
}

// doubt says why a cell needs a close look.
type doubt struct {
	ids   map[stock.ReservationID]struct{}
	users map[int64]struct{}
}

// lateMax bounds the reservations of a partition that are looked at because their deadline has passed. If nobody
// sweeps, all have passed theirs.
const lateMax = 2000

// doubtMax bounds the odd reservations and users of a cell that one sweep looks at.
const doubtMax = 2000

func newPartition(w *sweep, number int) *partition {
	return &partition{
		sweep: w, number: number, cells: map[stock.Cell]*seen{}, held: map[stock.ReservationID]struct{}{},
		counts: map[buyer]int64{}, gave: map[buyer]int64{}, doubts: map[stock.Cell]*doubt{},
	}
}

// scan reads the whole partition from Redis, and finds the cells that need a close look.
func (p *partition) scan(ctx context.Context) error {
	for _, step := range []func(context.Context) error{p.readCells, p.readRecords, p.readBuyers} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for c, s := range p.cells {
		p.inRedis.add(c)
		if p.whole || s.Unreadable || s.held != s.Held {
			p.doubtful(c)
		}
	}
	for c, events := range p.tail {
		if s := p.cells[c]; p.has(c) && (s == nil || slices.ContainsFunc(events, func(e Event) bool { return s.Less(e.Position) })) {
			p.doubtful(c)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.lettered {
		if p.has(c) {
			p.doubtful(c)
		}
	}
	for _, c := range p.asked[p.number] {
		p.doubtful(c)
	}
	p.cells, p.held, p.counts, p.gave, p.ids = nil, nil, nil, nil, nil
	return nil
}

// has reports whether a cell lives in the partition.
func (p *partition) has(c stock.Cell) bool { return c.Partition(p.Redis.Partitions()) == p.number }

// doubtful marks a cell for a close look.
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
		begun := p.Now()
		found, next, err := p.Redis.ViewCells(ctx, p.number, cursor)
		if err != nil {
			return fromRedis(err)
		}
		for i := range found {
			if c := &found[i]; p.scope.has(c.Cell) && p.cells[c.Cell] == nil {
				p.cells[c.Cell] = &seen{CellView: *c}
			}
		}
		p.rest(ctx, begun)
		if cursor = next; next == 0 {
			return nil
		}
	}
}

// readRecords counts the held reservations one by one, and compares each with MySQL.
func (p *partition) readRecords(ctx context.Context) error {
	for cursor := uint64(0); ; {
		begun := p.Now()
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
		p.rest(ctx, begun)
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
	if !p.scope.has(r.Cell) || r.State != stock.StateHeld && r.State != stock.StateReturned && !r.Counted {
		return
	}
	if _, again := p.held[r.ID]; again {
		return
	}
	p.held[r.ID] = struct{}{}
	cell := p.cells[r.Cell]
	if cell == nil || r.Seq > cell.Seq { // the record is later than the reading of the cell
		p.odd(r)
	}
	switch {
	case r.State == stock.StateReturned:
		p.gave[buyer{r.Cell, r.User}] += r.Quantity
	case r.Counted && (r.State == stock.StateHeld || r.State == stock.StateConfirmed):
		p.counts[buyer{r.Cell, r.User}] += r.Quantity
	}
	if r.State == stock.StateHeld {
		if r.DeadlineMS < int64(p.report.Summary.StartedAt)-overdueAfter.Milliseconds() && p.late < lateMax {
			p.late++ // perhaps no list of deadlines has it
			p.odd(r)
		}
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
			if row, ok := rows[r.ID]; !ok || row.State != r.State || row.Seq != r.Seq || row.Quantity != r.Quantity || row.User != r.User || row.Cell != r.Cell {
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
	var odd []stock.BuyerCount
	for pool := range pools {
		for cursor := uint64(0); ; {
			begun := p.Now()
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
				if sum := p.counts[key]; b.Units > sum || b.Units < sum-p.gave[key] {
					odd = append(odd, b)
				}
				delete(p.counts, key)
			}
			if len(odd) >= rowsAtOnce {
				if err := p.settle(ctx, odd); err != nil {
					return err
				}
				odd = odd[:0]
			}
			p.rest(ctx, begun)
			if cursor = next; next == 0 {
				break
			}
		}
	}
	for key, sum := range p.counts { // Redis has no count of these users
		if sum > p.gave[key] {
			odd = append(odd, stock.BuyerCount{Cell: key.cell, User: key.user})
		}
	}
	begun := p.Now()
	err := p.settle(ctx, odd)
	p.rest(ctx, begun)
	return err
}

// settle compares counts that do not fit the records with MySQL. Redis forgets the records of old purchases, and keeps their
// counts. A user whose count is not what MySQL's reservations come to is in doubt: a limit may not have applied to all of them.
func (p *partition) settle(ctx context.Context, counts []stock.BuyerCount) error {
	for some := range slices.Chunk(counts, rowsAtOnce) {
		err := p.snapshot(ctx, func(s *ledger.Snapshot) error {
			taken, err := s.Taken(ctx, some)
			for i, t := range taken {
				if b := &some[i]; b.Units > t.Units || b.Units < max(0, t.Units-t.Returned) {
					p.oddUser(b.Cell, b.User)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
