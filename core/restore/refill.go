package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sluice/core/ledger"
	"sluice/core/rebuild"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

const (
	// reason is the reason in the rebases of a restore.
	reason = "restored from MySQL and Kafka"
	// historyPage is how many rows of the ledger one statement reads at most.
	historyPage = 20000
)

// refill reads a partition from the ledger and writes it into Redis, cell by cell.
func (w *run) refill(ctx context.Context, p int) (err error) {
	nowMS, err := w.Store.Now(ctx)
	if err != nil {
		return err
	}
	cells := w.cells[p]
	var pools []uint32
	for _, c := range cells {
		if !slices.Contains(pools, c.Pool) {
			pools = append(pools, c.Pool)
		}
	}
	var torn *redisstock.Torn
	if t, is := w.plan.Torn[p]; is {
		torn = &t
	}
	// Another restorer who has fallen silent may still be about to publish its rebases. If Kafka has all of them before they are
	// cleared, this restore begins no epoch of theirs again. One who writes more of them meanwhile keeps the partition.
	if err := w.deliver(ctx, p); err != nil {
		return err
	}
	begun, err := w.restorer.Clear(ctx, p, torn, pools)
	if err == nil && begun {
		cells, err = w.catchUp(ctx, p)
	}
	if err != nil {
		return err
	}
	snapshot, err := w.books.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	f := filler{run: w, partition: p, nowMS: nowMS, from: snapshot, to: w.restorer.Refill(p, pools, nowMS)}
	for some := range slices.Chunk(cells, ledger.HistoryCells) {
		if err := f.fill(ctx, some); err != nil {
			return err
		}
	}
	// Nobody sells in an epoch that Kafka does not know of. Otherwise, if Redis were lost again, the next restore would begin
	// the same epoch, and late events of this one would collide with those of the next.
	if err := f.to.Flush(ctx); err != nil {
		return err
	}
	if err := w.deliver(ctx, p); err != nil {
		return err
	}
	return f.to.Close(ctx)
}

// catchUp waits until MySQL has the events that another restorer of a partition has published, and reads the
// partition's cells.
func (w *run) catchUp(ctx context.Context, p int) ([]cellAt, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	cells, err := w.Restore.cells(ctx, []int{p})
	return cells[p], err
}

// filler writes one partition.
type filler struct {
	*run

	partition int
	nowMS     int64 // Redis time
	from      *ledger.Snapshot
	to        *redisstock.Refill
	begins    map[stock.Cell]*beginning

	cell   stock.Cell // under way
	fold   *rebuild.Fold
	failed error // of writing a record
}

// beginning has the data of a cell that refill needs before it reads the cell's events.
type beginning struct {
	ends       []stock.Position   // of epochs
	checkpoint *ledger.Checkpoint // nil if there is none, or once the fold has passed it
	bought     map[int64]int64    // at the checkpoint
}

// fill writes some cells.
func (f *filler) fill(ctx context.Context, some []cellAt) error {
	f.begins = make(map[stock.Cell]*beginning, len(some))
	cells, rebased := make([]stock.Cell, 0, len(some)), map[stock.Cell]stock.Position{}
	for _, c := range some {
		f.begins[c.Cell] = &beginning{}
		cells = append(cells, c.Cell)
		if c.Epoch > 1 {
			rebased[c.Cell] = c.Position
		}
	}
	err := f.from.EpochEnds(ctx, rebased, func(c stock.Cell, at stock.Position) { f.begins[c].ends = append(f.begins[c].ends, at) })
	if err != nil {
		return err
	}
	checkpoints, err := f.from.Checkpoints(ctx, cells)
	if err != nil {
		return err
	}
	archived := make([]stock.Cell, 0, len(checkpoints))
	for cell, c := range checkpoints {
		archived = append(archived, cell)
		f.begins[cell].checkpoint, f.begins[cell].bought = &c, map[int64]int64{}
	}
	err = f.from.BuyersOf(ctx, archived, func(c stock.Cell, user, units int64) { f.begins[c].bought[user] = units })
	if err == nil {
		err = f.from.Histories(ctx, cells, historyPage, func(e *ledger.Recorded) error { return f.add(ctx, e) })
	}
	if err == nil {
		err = f.finish(ctx)
	}
	return err
}

// add adds the next event of the ledger to the fold.
func (f *filler) add(ctx context.Context, e *ledger.Recorded) error {
	if e.Reservation != (stock.ReservationID{}) && e.Reservation.Partition() != f.partition {
		return fmt.Errorf("%w, or of one with another number of partitions: the reservation %v is of partition %d there, and of %d here: set --partitions and "+
			"SLUICE_MYSQL_DSN to those of the deployment", ErrForeign, e.Reservation, e.Reservation.Partition(), f.partition)
	}
	if f.fold == nil || e.Cell != f.cell {
		if err := f.finish(ctx); err != nil {
			return err
		}
		f.cell, f.fold = e.Cell, rebuild.New(rebuild.Cell{}, func(r rebuild.Record) { f.remember(ctx, &r) })
		for _, last := range f.begins[e.Cell].ends {
			f.fold.EndEpoch(last)
		}
	}
	f.events.Add(1)
	if err := f.to.Stay(ctx); err != nil {
		return err
	}
	if begin := f.begins[e.Cell]; begin.checkpoint != nil {
		return f.before(begin, e)
	}
	return errors.Join(f.fold.Add(&e.Event, e.TimeMS), f.failed)
}

// before takes an event up to a checkpoint. Of these the ledger still has the events of holds that were open at the
// checkpoint, the events that set limits, and the checkpoint's own event. Once that one has come, the fold goes on
// from the checkpoint.
func (f *filler) before(begin *beginning, e *ledger.Recorded) error {
	at := begin.checkpoint
	var err error
	if !at.Less(e.Position) && (e.Kind.Adjusts() || e.Kind.State() == stock.StateHeld) {
		err = f.fold.Add(&e.Event, e.TimeMS)
	}
	if e.Less(at.Position) {
		return errors.Join(err, f.failed)
	}
	begin.checkpoint = nil
	f.fold.Checkpoint(stock.CellState{Cell: at.Cell, Position: at.Position, Balances: at.Balances(), Settings: at.Settings, Loaded: true}, begin.bought)
	return errors.Join(err, f.fold.Add(&e.Event, e.TimeMS), f.failed) // the fold skips the checkpoint's own event
}

// remember writes the record of a reservation that has ended, unless its retention is over.
func (f *filler) remember(ctx context.Context, r *rebuild.Record) {
	if r.EndedMS+f.Vetting.Stock.Retention.Milliseconds() <= f.nowMS || f.failed != nil {
		return
	}
	f.records.Add(1)
	f.failed = f.to.Record(ctx, &r.Reservation, r.EndedMS)
}

// finish writes the rest of the current cell: its holds, its users' counts, and the cell itself in a new epoch.
func (f *filler) finish(ctx context.Context) error {
	if f.fold == nil {
		return nil
	}
	c := f.fold.End()
	f.fold = nil
	for i := range c.Held {
		if err := f.to.Record(ctx, &c.Held[i], 0); err != nil {
			return err
		}
	}
	for user, units := range c.Buyers {
		if err := f.to.Buyer(ctx, c.Cell, user, units); err != nil {
			return err
		}
	}
	if c.Lost.Events > 0 {
		f.mu.Lock()
		f.report.Lost[f.partition] = append(f.report.Lost[f.partition], &Loss{c.Cell, c.Lost.Events, c.Lost.Units, len(c.Revoked)})
		f.mu.Unlock()
	}
	events := c.Rebase(reason)
	for i := range events {
		if err := f.to.Event(ctx, &events[i]); err != nil {
			return err
		}
	}
	for i := range c.Revoked {
		if err := f.to.Record(ctx, &c.Revoked[i], f.nowMS); err != nil {
			return err
		}
	}
	f.records.Add(int64(len(c.Held) + len(c.Revoked)))
	f.cellsDone.Add(1)
	return f.to.Cell(ctx, &c.CellState)
}
