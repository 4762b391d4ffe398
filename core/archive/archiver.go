package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/reconcile/journal"
	"sluice/core/stock"
)

// Bounds of a run.
const (
	BatchEvents = 20_000 // events in a file, and in the transaction that deletes them, about
	pageCells   = 500
	differMax   = 100_000
	reportMax   = 20 // faults that a run reports one by one; it counts the others

	// AgeMargin is how much older than the retention a row must be before it leaves. Clocks differ, and Kafka may
	// deliver its messages again.
	AgeMargin = 24 * time.Hour

	partial = ".partial" // a file's name ends so until its rows are deleted
)

var (
	// ErrBusy means that another archiver is at work on this database.
	ErrBusy = errors.New("another archiver is at work on this database")
	// ErrMoved means that rows changed while they were being archived. Nothing was deleted; the next run reads them anew.
	ErrMoved = errors.New("rows changed while they were archived")
)

// Config says which rows leave, and where the files go.
type Config struct {
	DB         *sql.DB // of an account that may delete; the caller closes it
	Dir        string
	Deployment string
	Before     time.Time // what happened in Redis at this time or later stays
	Share      float64   // of the time in which MySQL works for this, above 0 up to 1
	DryRun     bool      // count what would leave, and change nothing
	Log        *slog.Logger

	// Progress is called after each batch, and after each page of cells.
	Progress func(Done)
	// Step is called, with the name of the step, before each step at which a kill would leave something unfinished.
	// An error ends the run as a kill would.
	Step func(string) error
}

// Done counts the work of a run so far.
type Done struct {
	Seen         int64 // cells that were looked at
	Cells        int64
	Events       int64
	Kept         int64 // events that are in files now and that the ledger still keeps
	Reservations int64
	Repairs      int64
	Files        []string
	Skipped      int64    // cells that stay, because somebody must decide something about them first
	Faults       []string // why they stay, for the first of them
}

// archiver is a run of the archive.
type archiver struct {
	Config

	conn   *sql.Conn  // has the lock, and does all deletions: a run that loses it deletes nothing more
	busy   sync.Mutex // held while conn is used
	books  *ledger.Reader
	ledger string // identity of the database
	done   Done
}

// Run moves the rows that are old enough. It returns its counts even after an error. One run at a time works on a
// database; a second one gets ErrBusy. However a run ends, each event is in the ledger or in a file that was read back.
// The next run goes on from there.
func Run(ctx context.Context, cfg Config) (Done, error) {
	if cfg.Step == nil {
		cfg.Step = func(string) error { return nil }
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Done) {}
	}
	a := &archiver{Config: cfg, books: ledger.New(cfg.DB, nil)}
	err := a.run(ctx)
	return a.done, err
}

func (a *archiver) run(ctx context.Context) (failed error) {
	database, err := evidence.NewNonces(a.DB).Identity(ctx)
	if err == nil {
		err = database.Refuses(a.Deployment, 0)
	}
	if err != nil {
		return err
	}
	a.ledger = database.ID
	if !a.DryRun {
		if a.conn, err = a.DB.Conn(ctx); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		defer func() { failed = errors.Join(failed, a.conn.Close()) }()
		unlock, err := a.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		runs := NewRuns(a.DB)
		run, err := runs.Begin(ctx, ActArchive)
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, runs.End(ctx, run, a.result(failed))) }()
		if err := a.tidy(ctx); err != nil {
			return err
		}
	}
	for after := (stock.Cell{}); ; {
		cells, err := a.page(ctx, after)
		if err != nil {
			return err
		}
		if len(cells) == 0 {
			return a.repairs(ctx)
		}
		after = cells[len(cells)-1].cell
		if err := a.cells(ctx, cells); err != nil {
			return err
		}
		a.done.Seen += int64(len(cells))
		a.Progress(a.done)
	}
}

// result returns the row of a run that has ended, with an error or without.
func (a *archiver) result(failed error) Result {
	got := Result{
		Outcome: OutcomeDone, Events: a.done.Events, Reservations: a.done.Reservations, Repairs: a.done.Repairs,
		Files: int64(len(a.done.Files)), LeftCells: a.done.Skipped,
	}
	switch {
	case failed != nil:
		got.Outcome, got.Said = OutcomeFailed, failed.Error()
		if errors.Is(failed, ErrFile) {
			got.BadFiles = 1
		}
	case a.done.Skipped > 0:
		got.Outcome, got.Said = OutcomeLeft, a.done.Faults[0]
	}
	return got
}

// target is a cell with the position up to which its events may leave.
type target struct {
	cell stock.Cell
	mark stock.Position
}

// page finds the next cells with events that may leave.
func (a *archiver) page(ctx context.Context, after stock.Cell) (found []target, err error) {
	s, err := a.books.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	err = s.Archivable(ctx, after, pageCells, func(c stock.Cell, mark stock.Position) { found = append(found, target{c, mark}) })
	return found, err
}

// cells archives what is old of some cells, in as many batches as it takes.
func (a *archiver) cells(ctx context.Context, cells []target) error {
	due, err := a.due(ctx, cells)
	if err != nil {
		return err
	}
	for len(due) > 0 {
		start := time.Now()
		var some []*stretch
		if some, due, err = a.read(ctx, due); err != nil {
			return err
		}
		if len(some) > 0 {
			err := a.batch(ctx, load{cells: some})
			if errors.Is(err, ErrMoved) {
				a.skip(err)
				continue
			}
			if err != nil {
				return err
			}
		}
		if err := a.rest(ctx, start); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rest tells of the progress, and rests after what was begun at a time.
func (a *archiver) rest(ctx context.Context, begun time.Time) error {
	a.Progress(a.done)
	worked := time.Since(begun)
	if a.Share > 0 && a.Share < 1 && !a.DryRun {
		lifecycle.Pause(ctx, time.Duration(float64(worked)*(1/a.Share-1)))
	}
	return ctx.Err()
}

// due returns the cells whose first event after the checkpoint is old enough.
func (a *archiver) due(ctx context.Context, cells []target) ([]target, error) {
	s, err := a.books.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	names := make([]stock.Cell, len(cells))
	for i := range cells {
		names[i] = cells[i].cell
	}
	bases, err := s.Checkpoints(ctx, names)
	if err != nil {
		return nil, err
	}
	after, old := map[stock.Cell]stock.Position{}, map[stock.Cell]bool{}
	for _, c := range names {
		base := bases[c]
		after[c] = base.Position
	}
	err = s.FirstTimes(ctx, after, func(c stock.Cell, ms int64) { old[c] = ms < a.Before.UnixMilli() })
	if err != nil {
		return nil, err
	}
	held, err := a.books.HeldBack(ctx, names)
	if err != nil {
		return nil, err
	}
	differ, err := journal.New(a.DB).OpenCells(ctx, differMax)
	if err != nil {
		return nil, err
	}
	if len(differ) == differMax {
		return nil, fmt.Errorf("archive: %d cells or more differ between the stores: see sluice reconcile history, and put them right first", differMax)
	}
	return slices.DeleteFunc(cells, func(t target) bool {
		switch {
		case !old[t.cell]:
			return true
		case slices.Contains(held, t.cell):
			a.skip(&FaultError{t.cell, "it has a dead letter that nobody has resolved: see sluice deadletter list"})
			return true
		case differ[t.cell]:
			a.skip(&FaultError{t.cell, "the stores differ, or did when they were compared: see sluice reconcile"})
			return true
		}
		return false
	}), nil
}

func (a *archiver) skip(why error) {
	a.done.Skipped++
	if len(a.done.Faults) < reportMax {
		a.done.Faults = append(a.done.Faults, why.Error())
	}
	a.Log.Warn("left in the ledger", "reason", why)
}
