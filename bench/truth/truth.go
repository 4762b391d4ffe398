// Package truth judges stock after a load run: whether Redis and MySQL agree with each other and with what shoppers were
// told. It changes nothing.
package truth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/reconcile"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Judge judges the stock of some SKUs. Nobody else may sell them meanwhile.
type Judge struct {
	Redis   *redisstock.Store
	Sweeper *reconcile.Sweeper // its books are read too
	Cells   []stock.Cell       // by the SKUs of the crowd
	Apart   int                // how many of the last cells are judged, but in no sum: as that of the warm-up, which counts nowhere
	CatchUp time.Duration      // how long MySQL may take to have everything
	// Adopt has Redis trusted that was vetted anew, because it restarted during the run.
	Adopt func(context.Context) error

	// Of the beginning. Times only bound a sweep: clocks may step, and positions tell which events a run has made.
	at    time.Time
	since int64 // Redis time, in ms
	cells []stock.CellState
}

// How many events are read at once, if many cells have some, and of each cell at least. They are variables for tests.
var eventsAtOnce, eventsOfCell = 20_000, 100

const (
	readAtOnce  = 4096
	looks       = 10 // at stock that moves, because reservations end
	reasonsMax  = 20 // that are told one by one
	tryAgain    = 500 * time.Millisecond
	clockMS     = 1000             // that two clocks may differ by
	readTimeout = 10 * time.Minute // of MySQL, for the rows of a run
)

// Begin notes how stock is before a run.
func (j *Judge) Begin(ctx context.Context) error {
	cells, err := j.read(ctx)
	if err != nil {
		return fmt.Errorf("read the stock before the run: %w", err)
	}
	j.at, j.cells = time.Now(), cells
	if j.since, err = j.Redis.Now(ctx); err != nil {
		return fmt.Errorf("read the stock before the run: %w", err)
	}
	return nil
}

// End judges stock after a run in which shoppers were told of these units, in the order of Cells. It waits until MySQL
// has everything. What it cannot read makes the verdict unverified, and never right.
func (j *Judge) End(ctx context.Context, units []load.Units) report.Truth {
	t := report.Truth{Verdict: report.Unverified}
	counted := len(j.Cells) - j.Apart
	t.AcceptedUnits, t.UnknownUnits = Told(units[:counted])
	begun := time.Now()
	stores, err := j.settled(ctx)
	t.WaitedMS = float64(time.Since(begun).Milliseconds())
	if errors.Is(ctx.Err(), context.Canceled) {
		err = errors.New("interrupted before both stores were read")
	}
	if err != nil {
		t.Reasons = []string{err.Error()}
		return t
	}
	t.RedisUnits, t.MySQLUnits = sum(stores.redis, counted), sum(stores.mysql, counted)
	wrong := stores.compare(j.Cells, units)
	swept, unread := j.sweep(ctx)
	wrong = append(wrong, swept...)
	switch {
	case len(wrong) > 0:
		t.Verdict = report.Wrong
		if more := len(wrong) - reasonsMax; more > 0 {
			wrong = append(wrong[:reasonsMax], fmt.Sprintf("and %d more", more))
		}
	case len(unread) == 0:
		t.Verdict = report.Right
	}
	t.Reasons = slices.Concat(wrong, unread)
	return t
}

// stores is what both stores say. Unless the stock was at rest, only MySQL's side is known: its events are never taken
// back, where Redis' counters fall as reservations end.
type stores struct {
	redis, mysql []int64 // units that were taken, by cell; redis is nil if the stock was moving
}

// settled reads both stores after MySQL has everything that was taken.
func (j *Judge) settled(ctx context.Context) (*stores, error) {
	ctx, cancel := context.WithTimeout(ctx, j.CatchUp+readTimeout)
	defer cancel()
	s := &stores{}
	for range looks {
		before, err := j.readOpen(ctx)
		if err == nil {
			err = j.caughtUp(ctx)
		}
		if err != nil {
			return nil, err
		}
		took, back, err := j.ledger(ctx, before)
		if err != nil {
			return nil, fmt.Errorf("the ledger could not be read: %w", err)
		}
		after, err := j.read(ctx)
		if err != nil {
			return nil, err
		}
		s.mysql = took
		if slices.EqualFunc(before, after, func(a, b stock.CellState) bool { return a.Position == b.Position }) {
			s.redis = make([]int64, len(after))
			for i := range after {
				s.redis[i] = after[i].Held + after[i].Sold - j.cells[i].Held - j.cells[i].Sold + back[i]
			}
			return s, nil
		}
		lifecycle.Pause(ctx, tryAgain)
	}
	return s, nil
}

// compare says where the stores differ from each other, or from what shoppers know.
func (s *stores) compare(cells []stock.Cell, units []load.Units) (wrong []string) {
	for i, cell := range cells {
		u := units[i]
		if len(s.redis) > 0 && s.redis[i] != s.mysql[i] {
			wrong = append(wrong, fmt.Sprintf("SKU %d: Redis has given away %d units, and MySQL has events of %d", cell.SKU, s.redis[i], s.mysql[i]))
		}
		if !u.Fit(s.mysql[i]) {
			wrong = append(wrong, fmt.Sprintf("SKU %d: %d units were given away, where shoppers were told of %d, and %d are unknown to them",
				cell.SKU, s.mysql[i], u.Accepted, u.Unknown))
		}
	}
	return wrong
}

// Told sums up what shoppers know.
func Told(units []load.Units) (accepted, unknown int64) {
	for _, u := range units {
		accepted += u.Accepted
		unknown += u.Unknown
	}
	return accepted, unknown
}

// sum adds up the first of the units, if they are known.
func sum(units []int64, counted int) *int64 {
	if units == nil {
		return nil
	}
	var all int64
	for _, n := range units[:counted] {
		all += n
	}
	return &all
}

// sweep compares all stores as sluice reconcile does, and returns what is wrong with the cells, and what it could not
// read.
func (j *Judge) sweep(ctx context.Context) (wrong, unread []string) {
	now, err := j.now(ctx)
	var r *reconcile.Report
	if err == nil {
		since := min(j.since, now-time.Since(j.at).Milliseconds()-clockMS) // the clock of Redis may have been set back
		r, err = j.Sweeper.Sweep(ctx, reconcile.Scope{SinceMS: since})
	}
	if err != nil {
		return nil, []string{fmt.Sprintf("the stores could not be compared: %v", err)}
	}
	return j.found(r)
}

// found returns what a sweep found wrong with the cells, and what it could not read.
func (j *Judge) found(r *reconcile.Report) (wrong, unread []string) {
	ours := make(map[stock.Cell]bool, len(j.Cells))
	for _, c := range j.Cells {
		ours[c] = true
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; ours[f.Cell()] {
			wrong = append(wrong, fmt.Sprintf("SKU %d: %s of %d units: sluice reconcile --sku %d tells more", f.SKU, f.Type, f.Units, f.SKU))
		}
	}
	for _, u := range r.Summary.Unread {
		unread = append(unread, fmt.Sprintf("%s could not be read: %s", u.Store, u.Error))
	}
	if n := r.Summary.Unverified; n > 0 {
		unread = append(unread, fmt.Sprintf("%d cells could not be compared", n))
	}
	if n := r.Summary.LeftOut; n > 0 {
		unread = append(unread, fmt.Sprintf("%d findings more are not listed, perhaps about these SKUs", n))
	}
	return wrong, unread
}

func (j *Judge) read(ctx context.Context) (all []stock.CellState, err error) {
	for part := range slices.Chunk(j.Cells, readAtOnce) {
		states, _, err := j.Redis.Cells(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("redis could not be read: %w", err)
		}
		for i := range states {
			if !states[i].Loaded {
				return nil, fmt.Errorf("there is no SKU %d", part[i].SKU)
			}
		}
		all = append(all, states...)
	}
	return all, nil
}

// readOpen is read, but waits while Redis is shut, at most as long as MySQL may take: it has restarted, and an edge vets it. The
// first call of each connection from before the restart fails, and nobody knows what became of it.
func (j *Judge) readOpen(ctx context.Context) (all []stock.CellState, err error) {
	waiting, cancel := context.WithTimeout(ctx, max(j.CatchUp, time.Second))
	defer cancel()
	err = lifecycle.Poll(waiting, tryAgain, func() (err error) {
		if all, err = j.read(ctx); errors.Is(err, stock.ErrShut) && j.Adopt(ctx) == nil {
			all, err = j.read(ctx)
		}
		return err
	}, func(err error) bool { return !errors.Is(err, stock.ErrShut) && !errors.Is(err, stock.ErrUnknown) })
	return all, err
}

// now is the time of Redis. It asks again where the connection was one from before a restart.
func (j *Judge) now(ctx context.Context) (ms int64, err error) {
	waiting, cancel := context.WithTimeout(ctx, max(j.CatchUp, time.Second))
	defer cancel()
	err = lifecycle.Poll(waiting, tryAgain, func() (err error) {
		ms, err = j.Redis.Now(ctx)
		return err
	}, func(err error) bool { return !errors.Is(err, stock.ErrUnknown) })
	return ms, err
}

// caughtUp waits until MySQL has all that has happened in Redis by now.
func (j *Judge) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(j.CatchUp, time.Second))
	defer cancel()
	now, err := j.now(ctx)
	if err != nil {
		return fmt.Errorf("redis could not be read: %w", err)
	}
	return lifecycle.Poll(ctx, tryAgain/5, func() error {
		until, _, err := j.Redis.Persisted(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("redis could not be read: %w", err)
		case until < now:
			return fmt.Errorf("MySQL did not catch up within %v: see whether persisters run and keep up", j.CatchUp)
		}
		return nil
	}, func(error) bool { return false })
}

// moved returns how many of an event's units were taken from avail, and how many came back to it from held or sold.
func moved(e *event.Event) (took, back int64) {
	switch e.Kind {
	case event.KindReserve, event.KindDeduct:
		return e.Quantity, 0
	case event.KindRelease, event.KindExpire, event.KindRevoke, event.KindReturn:
		return 0, e.Quantity
	default:
		return 0, 0
	}
}

// ledger returns the units that were taken since the run began, and those that came back, by cell. Only cells that have moved
// by now have events. It reads a bounded number of events at once, because one SKU may have millions.
func (j *Judge) ledger(ctx context.Context, now []stock.CellState) (took, back []int64, err error) {
	took, back = make([]int64, len(j.Cells)), make([]int64, len(j.Cells))
	at, after := map[stock.Cell]int{}, map[stock.Cell]stock.Position{}
	for i, c := range j.Cells {
		if now[i].Position != j.cells[i].Position {
			at[c], after[c] = i, j.cells[i].Position
		}
	}
	books := j.Sweeper.Books.Moments()
	for len(after) > 0 {
		limit := max(eventsOfCell, eventsAtOnce/len(after))
		read, last := map[stock.Cell]int{}, map[stock.Cell]stock.Position{}
		err := books.EventsAfter(ctx, after, limit, func(e *ledger.Recorded) {
			read[e.Cell]++
			last[e.Cell] = e.Position
			some, others := moved(&e.Event)
			took[at[e.Cell]] += some
			back[at[e.Cell]] += others
		})
		if err != nil {
			return nil, nil, err
		}
		for c := range after {
			if read[c] < limit {
				delete(after, c)
			} else {
				after[c] = last[c]
			}
		}
	}
	return took, back, nil
}
