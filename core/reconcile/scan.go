package reconcile

import (
	"context"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// The bounds of partitions that are scanned together.
const (
	scannedTogether = 4096 // cells and records, counted before the scan; a larger partition is scanned alone
	buyersTogether  = 8    // lists of users' counts that one call begins to read
)

// joint has partitions that are scanned together. The first step of all of them is one call, so partitions with little
// data cost no calls of their own.
type joint struct {
	*sweep

	parts []*partition
}

// divide divides the partitions of the scope.
func (w *sweep) divide(ctx context.Context) (joints []*joint) {
	together := int64(0)
	begun := w.Now()
	sizes := w.Redis.Sizes(ctx)
	w.rest(ctx, begun)
	for _, p := range w.inScope() {
		size := sizes[p.number].Cells + sizes[p.number].Records
		p.entries = sizes[p.number].Entries
		if together += size; len(joints) == 0 || together > scannedTogether || sizes[p.number].Err != nil {
			joints, together = append(joints, &joint{sweep: w}), size
		}
		last := joints[len(joints)-1]
		last.parts = append(last.parts, p)
	}
	return joints
}

// scan reads the partitions from Redis, and finds the cells that need a close look.
func (j *joint) scan(ctx context.Context) {
	for _, step := range []func(context.Context) error{j.readCells, j.readRecords, j.compareRows, j.readBuyers, j.uncounted} {
		if err := step(ctx); err != nil { // of MySQL
			for _, p := range j.parts {
				p.fail(err)
			}
		}
		j.parts = slices.DeleteFunc(j.parts, func(p *partition) bool { return p.failed })
	}
	for _, p := range j.parts {
		p.conclude()
	}
}

func (j *joint) numbers() []int {
	numbers := make([]int, len(j.parts))
	for i, p := range j.parts {
		numbers[i] = p.number
	}
	return numbers
}

// through finishes the scan of a partition after its first step. It rests after each other step. If take has more to do than to note
// what was found, it rests for itself.
func through[T any](ctx context.Context, p *partition, at redisstock.Viewed[T], step func(cursor uint64) ([]T, uint64, error), take func([]T) error) {
	for {
		err := fromRedis(at.Err)
		if err == nil {
			err = take(at.Found)
		}
		if err != nil {
			p.fail(err)
			return
		}
		if at.Next == 0 {
			return
		}
		begun := p.Now()
		at.Found, at.Next, at.Err = step(at.Next)
		p.rest(ctx, begun)
	}
}

func (j *joint) readCells(ctx context.Context) error {
	begun := j.Now()
	first := j.Redis.ViewManyCells(ctx, j.numbers())
	j.rest(ctx, begun)
	for i, p := range j.parts {
		through(ctx, p, first[i], func(cursor uint64) ([]redisstock.CellView, uint64, error) {
			return p.Redis.ViewCells(ctx, p.number, cursor)
		}, func(found []redisstock.CellView) error {
			for i := range found {
				if c := &found[i]; p.scope.has(c.Cell) && p.cells[c.Cell] == nil {
					p.cells[c.Cell] = &seen{CellView: *c}
				}
			}
			return nil
		})
	}
	return nil
}

// readRecords counts the held reservations one by one, and notes them for compareRows.
func (j *joint) readRecords(ctx context.Context) error {
	begun := j.Now()
	first := j.Redis.ViewManyRecords(ctx, j.numbers())
	j.rest(ctx, begun)
	for i, p := range j.parts {
		through(ctx, p, first[i], func(cursor uint64) ([]stock.Reservation, uint64, error) {
			return p.Redis.ViewRecords(ctx, p.number, cursor)
		}, func(found []stock.Reservation) error {
			for i := range found {
				p.record(&found[i])
			}
			if len(p.ids) < rowsAtOnce {
				return nil
			}
			return (&joint{j.sweep, []*partition{p}}).compareRows(ctx)
		})
	}
	return nil
}

// compareRows compares the noted held reservations with MySQL's rows.
func (j *joint) compareRows(ctx context.Context) error {
	type noted struct {
		*stock.Reservation

		by *partition
	}
	var held []noted
	for _, p := range j.parts {
		for i := range p.ids {
			held = append(held, noted{&p.ids[i], p})
		}
	}
	for some := range slices.Chunk(held, rowsAtOnce) {
		begun := j.Now()
		rows := make(map[stock.ReservationID]ledger.Row, len(some))
		ids := make([]stock.ReservationID, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		if err := j.Books.Moments().Reservations(ctx, ids, func(r *ledger.Row) { rows[r.ID] = *r }); err != nil {
			return err
		}
		for _, r := range some {
			if row, ok := rows[r.ID]; !ok || row.State != r.State || row.Seq != r.Seq || row.Quantity != r.Quantity || row.User != r.User || row.Cell != r.Cell {
				r.by.odd(r.Reservation)
			}
		}
		j.rest(ctx, begun)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.report.Summary.Reservations += int64(len(held))
	for _, p := range j.parts {
		p.ids = p.ids[:0]
	}
	return nil
}

// readBuyers compares users' counts with the reservations that count.
func (j *joint) readBuyers(ctx context.Context) error {
	type list struct {
		*partition

		pool uint32
	}
	var lists []list
	for _, p := range j.parts {
		for _, pool := range p.pools() {
			lists = append(lists, list{p, pool})
		}
	}
	for len(lists) > 0 {
		some := lists[:min(len(lists), buyersTogether)]
		lists = lists[len(some):]
		numbers, pools := make([]int, len(some)), make([]uint32, len(some))
		for i, l := range some {
			numbers[i], pools[i] = l.number, l.pool
		}
		begun := j.Now()
		first := j.Redis.ViewManyBuyers(ctx, numbers, pools)
		j.rest(ctx, begun)
		for i, l := range some {
			if l.failed { // by another of its lists
				continue
			}
			counted := map[buyer]struct{}{}
			through(ctx, l.partition, first[i], func(cursor uint64) ([]stock.BuyerCount, uint64, error) {
				return l.Redis.ViewBuyers(ctx, l.number, l.pool, cursor)
			}, func(found []stock.BuyerCount) error {
				l.count(found, counted)
				if len(l.unfit) < rowsAtOnce {
					return nil
				}
				return (&joint{j.sweep, []*partition{l.partition}}).settle(ctx)
			})
		}
		lists = slices.DeleteFunc(lists, func(l list) bool { return l.failed })
	}
	return nil
}

// uncounted compares what is left: users without a count, and the last counts that do not fit.
func (j *joint) uncounted(ctx context.Context) error {
	for _, p := range j.parts {
		p.uncounted()
	}
	return j.settle(ctx)
}

// settle compares the counts that do not fit the records with MySQL. Redis forgets the records of old purchases, and
// keeps their counts. If a user's count differs from the sum of MySQL's reservations, the cell is in doubt: a limit may
// not have applied to all of them.
func (j *joint) settle(ctx context.Context) error {
	type noted struct {
		stock.BuyerCount

		by *partition
	}
	var unfit []noted
	for _, p := range j.parts {
		for _, b := range p.unfit {
			unfit = append(unfit, noted{b, p})
		}
		p.unfit = p.unfit[:0]
	}
	for some := range slices.Chunk(unfit, rowsAtOnce) {
		begun := j.Now()
		counts := make([]stock.BuyerCount, len(some))
		for i := range some {
			counts[i] = some[i].BuyerCount
		}
		taken, err := j.Books.Moments().Taken(ctx, counts)
		if err != nil {
			return err
		}
		for i, t := range taken {
			if b := &some[i]; b.Units > t.Units || b.Units < max(0, t.Units-t.Returned) {
				b.by.oddUser(b.Cell, b.User)
			}
		}
		j.rest(ctx, begun)
	}
	return nil
}
