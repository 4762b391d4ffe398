package restore

import (
	"context"
	"errors"
	"slices"

	"sluice/core/event"
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
	// buyersMax is how many users with archived purchases may be in memory, for all cells that are read together. One cell may have
	// more.
	buyersMax = 100_000
	// refillTries is how often the restore begins a partition again, if cells of it were rebased meanwhile.
	refillTries = 3
)

// errRebased means that a cell of the partition was rebased since its position was read. The fold may already have taken events
// that the rebase declares lost.
var errRebased = errors.New("a cell was rebased since its position was read")

// refill reads a partition from the ledger and writes it into Redis, cell by cell.
func (w *run) refill(ctx context.Context, p int) error {
	// Another restorer that has fallen silent may still be about to publish its rebases. If Kafka has all of them
	// before they are cleared, this restore does not use their epochs again. If the other restorer writes more of them
	// meanwhile, it keeps the partition.
	if err := w.deliver(ctx, p); err != nil {
		return err
	}
	begun, err := w.clear(ctx, p)
	if err != nil {
		return err
	}
	if begun {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		if begun || try > 1 {
			if err := w.readAgain(ctx, p); err != nil {
				return err
			}
			if _, err := w.clear(ctx, p); err != nil {
				return err
			}
		}
		err := w.write(ctx, p)
		if !errors.Is(err, errRebased) || try == refillTries {
			return err
		}
	}
}

// clear empties a partition and claims it. begun reports that another one had begun to restore it.
func (w *run) clear(ctx context.Context, p int) (begun bool, err error) {
	var torn *redisstock.Torn
	if t, is := w.plan.Torn[p]; is {
		torn = &t
	}
	begun, err = w.restorer.Clear(ctx, p, torn, poolsOf(w.cellsOf(p)))
	if err == nil {
		w.claim(p)
	}
	return begun, err
}

func poolsOf(cells []cellAt) (pools []uint32) {
	for _, c := range cells {
		if !slices.Contains(pools, c.Pool) {
			pools = append(pools, c.Pool)
		}
	}
	return pools
}

// readAgain reads the cells that MySQL now has of a partition.
func (w *run) readAgain(ctx context.Context, p int) error {
	cells, err := w.Restore.cells(ctx, []int{p})
	if err == nil {
		w.mu.Lock()
		w.cells[p] = cells[p]
		w.mu.Unlock()
	}
	return err
}

func (w *run) cellsOf(p int) []cellAt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cells[p]
}

// write writes a partition that is empty and claimed.
func (w *run) write(ctx context.Context, p int) (err error) {
	nowMS, err := w.Store.Now(ctx)
	if err != nil {
		return err
	}
	snapshot, err := w.books.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	cells := w.cellsOf(p)
	f := filler{run: w, partition: p, nowMS: nowMS, from: snapshot, to: w.restorer.Refill(p, poolsOf(cells), nowMS)}
	defer func() {
		if err != nil { // it will begin anew
			f.count(Progress{Cells: -f.counted.Cells, Records: -f.counted.Records, Events: -f.counted.Events})
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(f.lost) > 0 {
			w.report.Lost[p] = f.lost
		}
	}()
	f.fold = rebuild.New(rebuild.Cell{}, func(r rebuild.Record) { f.remember(ctx, &r) })
	if f.archived, err = snapshot.HasCheckpoints(ctx); err != nil {
		return err
	}
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

// filler writes one partition.
type filler struct {
	*run

	partition int
	nowMS     int64 // Redis time
	from      *ledger.Snapshot
	archived  bool // some cells have checkpoints
	to        *redisstock.Refill
	begins    map[stock.Cell]*beginning

	fold       *rebuild.Fold
	cell       stock.Cell // under way; zero: none
	begin      *beginning // of the cell; nil: there is nothing to know of it
	events     int64      // of the cell
	remembered int64      // records of the cell that are written
	failed     error      // of writing a record

	counted Progress // of the partition
	lost    []*Loss
}

// count counts what is done.
func (f *filler) count(more Progress) {
	f.counted.Cells, f.counted.Records, f.counted.Events = f.counted.Cells+more.Cells, f.counted.Records+more.Records, f.counted.Events+more.Events
	f.cellsDone.Add(more.Cells)
	f.records.Add(more.Records)
	f.run.events.Add(more.Events)
}

// beginning has the data of a cell that refill needs before it reads the cell's events. Most cells have none.
type beginning struct {
	epoch      uint32             // the ends of epochs before this one are known
	ends       []stock.Position   // of epochs
	checkpoint *ledger.Checkpoint // nil if there is none, or once the fold has passed it
	bought     map[int64]int64    // at the checkpoint
}

// of returns the beginning of a cell.
func (f *filler) of(c stock.Cell) *beginning {
	begin := f.begins[c]
	if begin == nil {
		begin = &beginning{epoch: 1}
		f.begins[c] = begin
	}
	return begin
}

// fill writes some cells.
func (f *filler) fill(ctx context.Context, some []cellAt) error {
	f.begins = map[stock.Cell]*beginning{}
	cells, rebased := make([]stock.Cell, 0, len(some)), map[stock.Cell]stock.Position{}
	for _, c := range some {
		cells = append(cells, c.Cell)
		if c.Epoch > 1 {
			rebased[c.Cell] = c.Position
			f.of(c.Cell).epoch = c.Epoch
		}
	}
	err := f.from.EpochEnds(ctx, rebased, func(c stock.Cell, at stock.Position) { f.begins[c].ends = append(f.begins[c].ends, at) })
	if err != nil {
		return err
	}
	if f.archived {
		fits, err := f.checkpoints(ctx, cells)
		if err != nil {
			return err
		}
		if !fits && len(some) > 1 {
			half := len(some) / 2
			if err := f.fill(ctx, some[:half]); err != nil {
				return err
			}
			return f.fill(ctx, some[half:])
		}
	}
	err = f.from.Histories(ctx, cells, historyPage, func(e *ledger.Recorded) error { return f.add(ctx, e) })
	if err == nil {
		err = f.finish(ctx)
	}
	return err
}

// checkpoints reads the checkpoints of some cells, with the units that users had bought by then. It reports whether the
// users fit into memory.
func (f *filler) checkpoints(ctx context.Context, cells []stock.Cell) (fits bool, err error) {
	checkpoints, err := f.from.Checkpoints(ctx, cells)
	if err != nil {
		return false, err
	}
	archived := make([]stock.Cell, 0, len(checkpoints))
	for cell, c := range checkpoints {
		archived = append(archived, cell)
		begin := f.of(cell)
		begin.checkpoint, begin.bought = &c, map[int64]int64{}
	}
	users, most := 0, f.buyersMax
	if len(cells) == 1 {
		most = 0 // all of them
	}
	err = f.from.BuyersOf(ctx, archived, most, func(c stock.Cell, user, units int64) {
		users++
		f.begins[c].bought[user] = units
	})
	return most == 0 || users < most, err
}

// add adds the next event of the ledger to the fold.
func (f *filler) add(ctx context.Context, e *ledger.Recorded) error {
	if e.Reservation != (stock.ReservationID{}) && e.Reservation.Partition() != f.partition {
		return foreign(e.Reservation, f.Vetting.Stock.Partitions)
	}
	if e.Cell != f.cell {
		if err := f.finish(ctx); err != nil {
			return err
		}
		f.start(e.Cell)
	}
	f.events++
	if e.Kind == event.KindRebase && (f.begin == nil || f.begin.epoch < e.Epoch) {
		return errRebased
	}
	if f.begin != nil && f.begin.checkpoint != nil {
		return f.before(e)
	}
	if err := f.fold.Add(&e.Event, e.TimeMS); err != nil {
		return err
	}
	return f.failed
}

// start begins a cell.
func (f *filler) start(cell stock.Cell) {
	f.cell, f.begin, f.events, f.remembered = cell, f.begins[cell], 0, 0
	f.fold.Begin(rebuild.Cell{})
	if f.begin != nil {
		for _, last := range f.begin.ends {
			f.fold.EndEpoch(last)
		}
	}
}

// before takes an event up to a checkpoint. The ledger still has three kinds of them: the events of holds that were
// open at the checkpoint, the events that set limits, and the checkpoint's own event. Once that one has come, the fold
// goes on from the checkpoint.
func (f *filler) before(e *ledger.Recorded) error {
	at := f.begin.checkpoint
	var err error
	if !at.Less(e.Position) && (e.Kind.Adjusts() || e.Kind.State() == stock.StateHeld) {
		err = f.fold.Add(&e.Event, e.TimeMS)
	}
	if e.Less(at.Position) {
		return errors.Join(err, f.failed)
	}
	f.begin.checkpoint = nil
	f.fold.Checkpoint(stock.CellState{Cell: at.Cell, Position: at.Position, Balances: at.Balances(), Settings: at.Settings, Loaded: true}, f.begin.bought)
	return errors.Join(err, f.fold.Add(&e.Event, e.TimeMS), f.failed) // the fold skips the checkpoint's own event
}

// remember writes the record of a reservation that has ended, unless its retention is over.
func (f *filler) remember(ctx context.Context, r *rebuild.Record) {
	if r.EndedMS+f.Vetting.Stock.Retention.Milliseconds() <= f.nowMS || f.failed != nil {
		return
	}
	f.remembered++
	f.failed = f.to.Record(ctx, &r.Reservation, r.EndedMS)
}

// finish writes the rest of the current cell: its holds, its users' counts, and the cell itself in a new epoch.
func (f *filler) finish(ctx context.Context) error {
	if f.cell == (stock.Cell{}) {
		return nil
	}
	f.cell = stock.Cell{}
	c := f.fold.End()
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
		f.lost = append(f.lost, &Loss{c.Cell, c.Lost.Events, c.Lost.Units, len(c.Revoked)})
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
	f.count(Progress{Cells: 1, Records: f.remembered + int64(len(c.Held)+len(c.Revoked)), Events: f.events})
	return f.to.Cell(ctx, &c.CellState)
}
