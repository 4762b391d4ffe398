package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/registry"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/tally"
)

// The bounds of a sweep's memory, beside one partition of Redis for each worker.
const (
	workers     = 2
	rowsAtOnce  = 1000    // reservations that one statement reads
	tailMax     = 200_000 // events of the tail of Kafka
	lettersMax  = 10_000  // dead letters about whole messages, or about one cell
	letteredMax = 100_000 // cells with dead letters
	lostMax     = 10_000  // cells that Redis alone had
	closelyMax  = 2000    // cells of a SKU or a sale that are compared from their first event on
	skuMax      = 100_000 // cells of one SKU
)

// Scope says what a sweep compares. The zero value means everything.
type Scope struct {
	SKU     int64   // 0: any
	Sale    *uint32 // 0 is normal stock; nil: any
	SinceMS int64   // Redis time: only cells that have had an event since then; 0: all
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
	// Users yields the differences of the registered users of a sale, or with 0 of all sales. If it is nil, they are
	// not compared.
	Users func(ctx context.Context, sale uint32) ([]registry.Difference, error)
	// Progress is called now and then with how far a sweep has come, by one goroutine at a time. It may be nil.
	Progress func(Progress)
	Now      func() time.Time
	// Rest is called after each piece of work with the time that it took, so that a sweep beside a sale can rest. It
	// may be nil.
	Rest func(ctx context.Context, worked time.Duration)
	// Workers is how many partitions are compared at once. Defaults to 2.
	Workers int

	transitsMost int    // 0: transitsMax
	walkOften    uint64 // 0: walkOften
	heldMost     int    // 0: heldMax

	walked map[stock.Cell]time.Time // when a sweep read the many events above a cell's mark

	since map[Store]time.Time // since when a store cannot be read
}

// Progress is how far a sweep has come. It goes through the partitions twice.
type Progress struct {
	Partitions, Done int
	Cells, Findings  int64
	Reservations     int64
}

// sweep is a sweep that is under way.
type sweep struct {
	*Sweeper

	scope    Scope
	whole    bool                 // the scope has few cells: each gets a close look from its first event on
	quick    bool                 // only these cells count
	asked    map[int][]stock.Cell // cells of the SKU in the scope, by partition; nil: the scope names no SKU
	tailRead bool

	condensed atomic.Int64 // cells whose held reservations are condensed
	changed   atomic.Int64 // their records that changed while they were scanned

	mu           sync.Mutex
	report       *Report
	done         int
	total        int
	failed       map[Store]bool
	transits     transits
	transitsMax  int
	transitsLeft bool         // there were more
	walking      []stock.Cell // whose many events it reads
	parts        []*partition
	turns        chan struct{} // those who look closely take one while they work, and none while they pause
}

// Sweep compares all cells of a scope. The report says what could not be read. The error is that of the context.
func (s *Sweeper) Sweep(ctx context.Context, scope Scope) (*Report, error) {
	ctx, calls := tally.Count(ctx)
	w := s.begin(scope)
	w.report.Summary.StartedAt = w.clock(ctx)
	w.readTail(ctx)
	err := w.readMessages(ctx)
	if err == nil {
		err = w.readLettered(ctx)
	}
	if err == nil {
		w.readLost(ctx)
	}
	if err == nil {
		err = w.choose(ctx)
	}
	if err != nil {
		w.unreadable(InLedger, -1, err)
	} else {
		w.compareAll(ctx)
	}
	w.compareUsers(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return w.end(ctx, calls), nil
}

// begin begins a sweep of all partitions.
func (s *Sweeper) begin(scope Scope) *sweep {
	w := &sweep{Sweeper: s, scope: scope, report: newReport(), failed: map[Store]bool{}, transits: transits{}, transitsMax: cmp.Or(s.transitsMost, transitsMax)}
	w.turns = make(chan struct{}, cmp.Or(s.Workers, workers))
	for number := range s.Redis.Partitions() {
		w.parts = append(w.parts, newPartition(w, number))
	}
	return w
}

// verified counts the stores that could be read again as verified from now on.
func (w *sweep) verified() {
	maps.DeleteFunc(w.since, func(s Store, _ time.Time) bool { return !w.failed[s] })
}

// end completes the report.
func (w *sweep) end(ctx context.Context, calls *atomic.Int64) *Report {
	w.verified()
	if w.walked == nil {
		w.walked = map[stock.Cell]time.Time{}
	}
	maps.DeleteFunc(w.walked, func(_ stock.Cell, at time.Time) bool { return w.Now().Sub(at) >= walkEvery })
	for _, c := range w.walking {
		w.walked[c] = w.Now()
	}
	w.report.Summary.EndedAt = w.clock(ctx)
	w.report.Summary.Calls = calls.Load()
	w.report.close()
	return w.report
}

// rest rests after a piece of work that began at a time.
func (w *sweep) rest(ctx context.Context, since time.Time) {
	if w.Rest != nil {
		w.Rest(ctx, w.Now().Sub(since))
	}
}

// compareAll scans Redis, sifts MySQL, and looks closely at the cells that are still in doubt.
func (w *sweep) compareAll(ctx context.Context) {
	if w.total = 2 * len(w.parts); w.asked != nil {
		w.total = 2 * len(w.asked)
	}
	side(w.divide(ctx), cap(w.turns), func(j *joint) {
		n := len(j.parts)
		j.scan(ctx)
		w.progressed(n)
	})
	if w.asked == nil {
		if err := w.sift(ctx); err != nil {
			w.unreadable(InLedger, -1, err)
			w.look(ctx) // at what the scan has found
			return
		}
	}
	side(w.inScope(), cap(w.turns), func(p *partition) {
		if w.asked == nil {
			p.fail(p.alone(ctx))
		}
		w.progressed(1)
	})
	w.look(ctx)
	w.stuck(ctx)
}

// look looks closely at the cells that are in doubt.
func (w *sweep) look(ctx context.Context) {
	side(w.portions(), lookers, func(cells []stock.Cell) {
		w.lookAt(ctx, cells)
		w.progressed(0)
	})
}

// unreadable notes that a store could not be read, for a partition or, with -1, at all.
func (w *sweep) unreadable(store Store, partition int, err error) {
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

// readTail reads the events that Kafka has and MySQL may lack. Without them nobody can say that no store has an
// event.
func (w *sweep) readTail(ctx context.Context) {
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
			tail := w.of(e.Cell).tail
			tail[e.Cell] = append(tail[e.Cell], Event{*e, b.TimeMS, InKafka})
		}
		return nil
	})
	if w.tailRead = err == nil; err != nil {
		w.unreadable(InKafka, -1, err)
	}
}

// readMessages reads the unresolved dead letters about whole messages. They are findings by themselves, of no cell.
func (w *sweep) readMessages(ctx context.Context) error {
	if w.scope.SKU != 0 || w.scope.Sale != nil {
		return nil
	}
	read := 0
	err := w.Books.Moments().OpenMessages(ctx, lettersMax, func(l *ledger.OpenLetter) {
		read++
		f := finding(DeadLetter, stock.Cell{}, 0, Bookkeeping, l.TimeMS,
			Proof{Store: InLetters, Says: l.Reason + " " + l.ID.String() + ": " + l.Detail})
		step := cannot(&f, whyNot(DeadLetter))
		if ledger.Replays(l.Reason) {
			step = replayStep(stock.Cell{}, 0, l.ID.String())
		}
		w.report.add(f)
		w.report.plan(step)
	})
	if read == lettersMax {
		w.unreadable(InLetters, -1, fmt.Errorf("more than %d dead letters are about whole messages: resolve or replay some, and compare again", lettersMax))
	}
	return err
}

// readLettered reads the cells that have unresolved dead letters: they are in doubt.
func (w *sweep) readLettered(ctx context.Context) error {
	read := 0
	err := w.Books.Moments().LetterCells(ctx, letteredMax, func(c stock.Cell) {
		read++
		w.of(c).doubtful(c)
	})
	if read == letteredMax {
		w.unreadable(InLetters, -1, fmt.Errorf("more than %d cells have dead letters: resolve or replay some, and compare again", letteredMax))
	}
	return err
}

// readLost reads the cells that edges have seen, and that neither Redis nor the stock table had when the edges told of them.
func (w *sweep) readLost(ctx context.Context) {
	read := 0
	err := w.Books.Moments().LostCells(ctx, lostMax, func(l *ledger.LostCell) {
		read++
		if w.scope.has(l.Cell) {
			found := *l
			p := w.of(l.Cell)
			p.lost[l.Cell] = &found
			p.doubtful(l.Cell)
		}
	})
	if err == nil && read == lostMax {
		err = fmt.Errorf("more than %d cells that Redis alone had are lost: load the SKUs again, and compare again", lostMax)
	}
	if err != nil {
		w.unreadable(InEdges, -1, err)
	}
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

// choose lists the cells of the scope if there are few.
func (w *sweep) choose(ctx context.Context) error {
	if w.scope.SKU == 0 && w.scope.Sale == nil {
		return nil
	}
	cells := map[stock.Cell]bool{}
	most := closelyMax + 1
	if w.scope.SKU != 0 {
		most = skuMax
	}
	err := w.Books.Moments().CellsOf(ctx, w.scope.SKU, w.scope.Sale, most, func(c stock.Cell) { cells[c] = true })
	w.whole = len(cells) <= closelyMax
	if err != nil || w.scope.SKU == 0 {
		return err
	}
	if !w.whole {
		w.unreadable(InLedger, -1, fmt.Errorf("the SKU has more than %d cells, so their older events are not read, and no cell beyond %d is: name a sale with --sale too, which is 0 for normal stock",
			closelyMax, skuMax))
	}
	for _, p := range w.parts {
		for c := range p.tail {
			cells[c] = true
		}
		for c := range p.lost {
			cells[c] = true
		}
	}
	first := stock.Cell{SKU: w.scope.SKU} // perhaps only Redis has it
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

// inScope returns the partitions of the scope, except those that could not be read.
func (w *sweep) inScope() []*partition {
	return slices.DeleteFunc(slices.Clone(w.parts), func(p *partition) bool {
		return p.failed || w.asked != nil && len(w.asked[p.number]) == 0
	})
}

// of returns the partition of a cell.
func (w *sweep) of(c stock.Cell) *partition { return w.parts[c.Partition(len(w.parts))] }

// side does some pieces of work side by side, so many at a time.
func side[T any](work []T, some int, do func(T)) {
	pieces := make(chan T)
	var all sync.WaitGroup
	for range min(some, len(work)) {
		all.Go(func() {
			for piece := range pieces {
				do(piece)
			}
		})
	}
	for _, piece := range work {
		pieces <- piece
	}
	close(pieces)
	all.Wait()
}

func (w *sweep) progressed(partitions int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += partitions
	if w.Progress != nil {
		w.Progress(Progress{w.total, w.done, w.report.Summary.Cells, w.report.Summary.Findings, w.report.Summary.Reservations})
	}
}

// redisError marks an error as one of Redis. All others are of MySQL.
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

// keep puts a judgement into the report.
func (w *sweep) keep(v *View, j Judgement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.count(j.Class, 1)
	w.report.add(j.Findings...)
	w.report.plan(j.Steps...)
	w.report.Summary.EventsInFlight += j.Behind
	if (len(j.Findings) > 0 || w.whole) && len(w.report.Trails) < trailsMax {
		w.report.Trails = append(w.report.Trails, trailOf(v, j))
	}
}

func (w *sweep) clock(ctx context.Context) show.Moment {
	nowMS, err := w.Redis.NowAgain(ctx)
	if err != nil {
		nowMS = w.Now().UnixMilli()
	}
	return show.Moment(nowMS)
}
