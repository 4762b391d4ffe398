package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Bounds of what a sweep has in memory at once, beside one partition of Redis for each worker.
const (
	workers     = 2
	cellsAtOnce = 500     // of one statement
	rowsAtOnce  = 1000    // reservations of one statement
	tailMax     = 200_000 // events of Kafka's tail
	lettersMax  = 10_000
	closelyMax  = 2000    // cells that are asked for by SKU or sale, and looked at from their first event on
	skuMax      = 100_000 // cells of one SKU
)

// Scope is what a sweep looks at. The zero value is everything.
type Scope struct {
	SKU     int64   // 0: any
	Sale    *uint32 // 0 is normal stock; nil: any
	SinceMS int64   // Redis time: only cells to which something has happened since then; 0: all
}

func (s *Scope) has(c stock.Cell) bool {
	return (s.SKU == 0 || c.SKU == s.SKU) && (s.Sale == nil || c.Pool == *s.Sale)
}

// Sweeper compares the stores of a deployment. It changes nothing. One goroutine uses it at a time.
type Sweeper struct {
	Redis *redisstock.Store
	Books *ledger.Reader
	// Tail yields the events that Kafka has and MySQL may not have yet.
	Tail func(ctx context.Context, yield func(*event.Batch) error) error
	// Progress is told now and then how far a sweep has come, by one goroutine at a time; nil: nobody is.
	Progress func(Progress)
	Now      func() time.Time

	since map[Store]time.Time // since when a store could not be read
}

// Progress is how far a sweep has come.
type Progress struct {
	Partitions, Done int
	Cells, Findings  int64
}

// sweep is one under way.
type sweep struct {
	*Sweeper

	scope    Scope
	whole    bool                 // few cells were asked for: each is looked at closely, from its first event on
	asked    map[int][]stock.Cell // cells of a SKU, by partition; nil: no SKU was asked for
	tail     map[stock.Cell][]Event
	tailRead bool
	letters  map[stock.Cell][]Letter

	mu       sync.Mutex
	report   *Report
	done     int
	total    int
	failed   map[Store]bool
	transits transits
	absents  map[stock.Cell]bool // that Redis does not have, and that were judged with their partition
}

// Sweep compares all cells of a scope. What cannot be read is in the report; the error is that of the context.
func (s *Sweeper) Sweep(ctx context.Context, scope Scope) (*Report, error) {
	w := &sweep{Sweeper: s, scope: scope, report: newReport(), failed: map[Store]bool{}, transits: transits{}, absents: map[stock.Cell]bool{}}
	w.report.Summary.StartedAt = w.clock(ctx)
	w.readTail(ctx)
	err := w.readLetters(ctx)
	if err == nil {
		err = w.choose(ctx)
	}
	if err != nil {
		w.unreadable(InLedger, -1, err)
	} else {
		w.partitions(ctx)
		if w.asked == nil {
			w.absent(ctx)
		}
		w.stuck(ctx)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for store := range s.since {
		if !w.failed[store] {
			delete(s.since, store)
		}
	}
	w.report.Summary.EndedAt = w.clock(ctx)
	w.report.close()
	return w.report, nil
}

// unreadable notes that a store could not be read, for a partition or (-1) at all.
func (w *sweep) unreadable(store Store, partition int, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since == nil {
		w.since = map[Store]time.Time{}
	}
	if _, known := w.since[store]; !known {
		w.since[store] = w.Now()
	}
	w.failed[store] = true
	w.report.unread(store, partition, w.since[store], err)
}

// readTail reads what Kafka has and MySQL may not have. Without it nobody can say that an event is nowhere.
func (w *sweep) readTail(ctx context.Context) {
	w.tail = map[stock.Cell][]Event{}
	n := 0
	err := w.Tail(ctx, func(b *event.Batch) error {
		for i := range b.Events {
			e := &b.Events[i]
			if !w.scope.has(e.Cell) {
				continue
			}
			if n++; n > tailMax {
				return fmt.Errorf("kafka has more than %d events that mysql has not: see whether persisters keep up, and look again then", tailMax)
			}
			w.tail[e.Cell] = append(w.tail[e.Cell], Event{*e, b.TimeMS, InKafka})
		}
		return nil
	})
	if w.tailRead = err == nil; err != nil {
		w.unreadable(InKafka, -1, err)
	}
}

// readLetters reads the dead letters that nobody has resolved. Those about whole messages are findings as they are.
func (w *sweep) readLetters(ctx context.Context) error {
	letters := map[stock.Cell][]Letter{}
	var messages []Finding
	err := w.snapshot(ctx, func(s *ledger.Snapshot) error {
		return s.OpenLetters(ctx, lettersMax, func(l *ledger.OpenLetter) {
			if l.Cell.SKU != 0 {
				letters[l.Cell] = append(letters[l.Cell], Letter{ID: l.ID.String(), Reason: l.Reason, Position: l.Position, Units: l.Units, TimeMS: l.TimeMS})
				return
			}
			messages = append(messages, finding(DeadLetter, stock.Cell{}, 0, Bookkeeping, l.TimeMS,
				Proof{Store: InLetters, Says: l.Reason + " " + l.ID.String() + ": " + l.Detail}))
		})
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.letters == nil && w.scope.SKU == 0 && w.scope.Sale == nil {
		w.report.add(messages...)
	}
	w.letters = letters
	return nil
}

func (w *sweep) lettersOf(c stock.Cell) []Letter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.letters[c]
}

// snapshot reads MySQL as it is at one moment.
func (w *sweep) snapshot(ctx context.Context, read func(*ledger.Snapshot) error) error {
	s, err := w.Books.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return read(s)
}

// choose finds which cells are asked for, where they are few.
func (w *sweep) choose(ctx context.Context) error {
	if w.scope.SKU == 0 && w.scope.Sale == nil {
		return nil
	}
	cells := map[stock.Cell]bool{}
	most := closelyMax + 1
	if w.scope.SKU != 0 {
		most = skuMax
	}
	err := w.snapshot(ctx, func(s *ledger.Snapshot) error {
		return s.CellsOf(ctx, w.scope.SKU, w.scope.Sale, most, func(c stock.Cell) { cells[c] = true })
	})
	w.whole = len(cells) <= closelyMax
	if err != nil || w.scope.SKU == 0 {
		return err
	}
	for c := range w.tail {
		cells[c] = true
	}
	first := stock.Cell{SKU: w.scope.SKU} // Redis may have it alone
	if w.scope.Sale != nil {
		first.Pool = *w.scope.Sale
	}
	cells[first] = true
	w.asked = map[int][]stock.Cell{}
	for c := range cells {
		p := c.Partition(w.Redis.Partitions())
		w.asked[p] = append(w.asked[p], c)
	}
	return nil
}

// partitions sweeps them, some at a time.
func (w *sweep) partitions(ctx context.Context) {
	numbers := make(chan int)
	var all sync.WaitGroup
	var chosen []int
	for p := range w.Redis.Partitions() {
		if w.asked == nil || len(w.asked[p]) > 0 {
			chosen = append(chosen, p)
		}
	}
	w.total = len(chosen)
	for range workers {
		all.Go(func() {
			for p := range numbers {
				err := newPartition(w, p).run(ctx)
				if err != nil {
					w.unreadable(storeOf(err), p, err)
				}
				w.progressed(1)
			}
		})
	}
	for _, p := range chosen {
		numbers <- p
	}
	close(numbers)
	all.Wait()
}

func (w *sweep) progressed(partitions int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += partitions
	if w.Progress != nil {
		w.Progress(Progress{w.total, w.done, w.report.Summary.Cells, w.report.Summary.Findings})
	}
}

// redisError marks an error of Redis: others are of MySQL.
type redisError struct{ error }

func (e redisError) Unwrap() error { return e.error }

func fromRedis(err error) error {
	if err == nil {
		return nil
	}
	return redisError{err}
}

func storeOf(err error) Store {
	if errors.As(err, new(redisError)) {
		return InRedis
	}
	return InLedger
}

// absent looks for cells that MySQL has and Redis has not. MySQL was read first, so Redis had them.
func (w *sweep) absent(ctx context.Context) {
	for after := (stock.Cell{}); ; {
		var cells []stock.Cell
		err := w.snapshot(ctx, func(s *ledger.Snapshot) error {
			return s.CellsAfter(ctx, after, cellsAtOnce*4, func(c stock.Cell) { cells = append(cells, c) })
		})
		if err != nil {
			w.unreadable(InLedger, -1, err)
			return
		}
		if len(cells) == 0 {
			return
		}
		after = cells[len(cells)-1]
		byPartition := map[int][]stock.Cell{}
		cells = slices.DeleteFunc(cells, func(c stock.Cell) bool { return !w.scope.has(c) })
		for _, c := range cells {
			p := c.Partition(w.Redis.Partitions())
			byPartition[p] = append(byPartition[p], c)
		}
		for p, some := range byPartition {
			if w.told(p) {
				continue
			}
			views, nowMS, err := w.Redis.CellsNow(ctx, p, some)
			if err = fromRedis(err); err == nil {
				err = w.gone(ctx, views, nowMS)
			}
			if err != nil {
				w.unreadable(storeOf(err), p, err)
			}
		}
	}
}

// told tells that a partition is known to be unreadable.
func (w *sweep) told(partition int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.report.Summary.Unread, func(u Unread) bool { return slices.Contains(u.Partitions, partition) })
}

// gone judges those cells that Redis does not have.
func (w *sweep) gone(ctx context.Context, views []redisstock.CellView, nowMS int64) error {
	var cells []stock.Cell
	for i := range views {
		if !views[i].Loaded && !views[i].Unreadable && !w.absents[views[i].Cell] {
			cells = append(cells, views[i].Cell)
		}
	}
	if len(cells) == 0 {
		return nil
	}
	return w.snapshot(ctx, func(s *ledger.Snapshot) error {
		return s.Briefs(ctx, cells, func(b *ledger.Brief) error {
			v := View{Cell: b.Cell, NowMS: nowMS, Projection: &State{b.Position, b.Balances}, UpdatedMS: b.UpdatedMS}
			if b.UpdatedMS >= w.scope.SinceMS {
				w.take(&v, Judge(&v))
			}
			return nil
		})
	})
}

// take takes a judgement into the report.
func (w *sweep) take(v *View, j Judgement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.count(j.Class, 1)
	w.report.add(j.Findings...)
	w.report.Summary.EventsInFlight += j.Behind
	if (len(j.Findings) > 0 || w.whole) && len(w.report.Trails) < trailsMax {
		w.report.Trails = append(w.report.Trails, trailOf(v, j))
	}
}

func (w *sweep) clock(ctx context.Context) show.Moment {
	_, nowMS, err := w.Redis.CellsNow(ctx, 0, nil)
	if err != nil {
		nowMS = w.Now().UnixMilli()
	}
	return show.Moment(nowMS)
}
