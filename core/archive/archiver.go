package archive

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/reconcile/journal"
	"sluice/core/stock"
)

// Bounds of a run.
const (
	BatchEvents = 20_000 // of a file and of the transaction that deletes them, about
	pageCells   = 500
	differMax   = 100_000
	reportMax   = 20 // faults that a run reports one by one

	// AgeMargin is how much older than the retention a row must be before it leaves: clocks differ, and what is in Kafka may be
	// delivered again.
	AgeMargin = 24 * time.Hour

	partial = ".partial" // the end of a file's name until its rows are deleted
)

var (
	// ErrBusy means that another archiver is at work on this database.
	ErrBusy = errors.New("another archiver is at work on this database")
	// ErrMoved means that rows changed while they were being archived. Nothing was deleted; the next run reads them anew.
	ErrMoved = errors.New("rows changed while they were archived")
)

// Config says what leaves, and for where.
type Config struct {
	DB         *sql.DB // of an account that may delete; the caller closes it
	Dir        string
	Deployment string
	Before     time.Time // what happened in Redis at this time or later stays
	Share      float64   // of the time in which MySQL works for this, above 0 up to 1
	DryRun     bool      // count what would leave, and change nothing
	Log        *slog.Logger

	// Progress is called after each batch.
	Progress func(Done)
	// Step is called before each step that a kill could come between, by its name. An error ends the run as a kill would.
	Step func(string) error
}

// Done is what a run has done so far.
type Done struct {
	Cells        int64
	Events       int64
	Kept         int64 // of the events that are in files now, still in the ledger
	Reservations int64
	Files        []string
	Skipped      int64    // cells of which somebody must decide something first
	Faults       []string // why, of the first ones
}

// archiver is a run under way.
type archiver struct {
	Config

	conn   *sql.Conn // holds the lock, and is the one that deletes: if it is lost, nothing more is deleted
	books  *ledger.Reader
	ledger string // identity of the database
	done   Done
}

// Run moves what is old enough, and returns what it has done, also after an error. One run at a time works on a database: another
// one gets ErrBusy. Whatever ends it, each event is in the ledger, or in a file that was read back, and the next run goes on.
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

func (a *archiver) run(ctx context.Context) (err error) {
	if a.ledger, err = evidence.NewNonces(a.DB).Identity(ctx); err != nil {
		return err
	}
	if a.conn, err = a.DB.Conn(ctx); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer func() { err = errors.Join(err, a.conn.Close()) }()
	if !a.DryRun {
		unlock, err := a.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		if err := a.tidy(ctx); err != nil {
			return err
		}
	}
	for after := (stock.Cell{}); ; {
		cells, err := a.page(ctx, after)
		if err != nil || len(cells) == 0 {
			return err
		}
		after = cells[len(cells)-1].cell
		if err := a.cells(ctx, cells); err != nil {
			return err
		}
	}
}

// target is a cell, and up to where its events may leave.
type target struct {
	cell stock.Cell
	mark stock.Position
}

// page finds the next cells that have events to leave.
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
			err := a.batch(ctx, some)
			if errors.Is(err, ErrMoved) {
				a.skip(err)
				continue
			}
			if err != nil {
				return err
			}
		}
		a.Progress(a.done)
		worked := time.Since(start)
		if a.Share > 0 && a.Share < 1 && !a.DryRun && !lifecycle.Pause(ctx, time.Duration(float64(worked)*(1/a.Share-1))) {
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// due are those of the cells whose first event after the checkpoint is old enough.
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

// read reads the stretches of one batch. It returns the cells that are left for the next ones.
func (a *archiver) read(ctx context.Context, due []target) (some []*stretch, rest []target, err error) {
	if err := a.Step("read"); err != nil {
		return nil, nil, err
	}
	s, err := a.books.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	for room := BatchEvents; len(due) > 0 && room > 0; {
		t := due[0]
		one, more, err := a.stretch(ctx, s, t, room)
		var fault *FaultError
		switch {
		case errors.As(err, &fault):
			a.skip(fault)
			due = due[1:]
			continue
		case err != nil:
			return nil, nil, err
		}
		if one != nil {
			some = append(some, one)
			room -= len(one.events)
		}
		if more && one != nil {
			break // the cell goes on with the next batch
		}
		due = due[1:]
	}
	return some, due, nil
}

// stretch reads the old events of a cell, at most room. It returns nil if there are none that follow, and whether there are more.
func (a *archiver) stretch(ctx context.Context, s *ledger.Snapshot, t target, room int) (one *stretch, more bool, err error) {
	one = &stretch{base: ledger.Checkpoint{Cell: t.cell}}
	bases, err := s.Checkpoints(ctx, []stock.Cell{t.cell})
	if err != nil {
		return nil, false, err
	}
	if base, ok := bases[t.cell]; ok {
		one.base = base
		err := s.Between(ctx, t.cell, stock.Position{}, base.Position, eventsMax, func(e *ledger.Recorded) { one.kept = append(one.kept, *e) })
		if err != nil {
			return nil, false, err
		}
	}
	read := 0
	young := false
	err = s.Between(ctx, t.cell, one.base.Position, t.mark, room, func(e *ledger.Recorded) {
		read++
		if young = young || e.TimeMS >= a.Before.UnixMilli(); !young {
			one.events = append(one.events, *e)
		}
	})
	if err != nil {
		return nil, false, err
	}
	if err := one.readBuyers(ctx, s); err != nil {
		return nil, false, err
	}
	if one.fold, err = NewFold(one.base, one.kept, one.buyers); err != nil {
		return nil, false, err
	}
	for i := range one.events {
		if err := one.fold.Apply(&one.events[i]); err != nil {
			return nil, false, err
		}
	}
	to := one.fold.Checkpoint().Position
	one.events = slices.DeleteFunc(one.events, func(e ledger.Recorded) bool { return to.Less(e.Position) })
	if to == one.base.Position || one.base.Seq == 0 && len(one.events) == 0 {
		if !young && read > 0 {
			return nil, false, &FaultError{t.cell, fmt.Sprintf("the ledger lacks the event after %d.%d, though its applied mark is %d.%d", one.base.Epoch, one.base.Seq, t.mark.Epoch, t.mark.Seq)}
		}
		return nil, false, nil
	}
	if fault := one.rows(ctx, s); fault != nil {
		return nil, false, fault
	}
	return one, read == room && !young, nil
}

// readBuyers reads what the users of the events have bought by reservations that have left.
func (one *stretch) readBuyers(ctx context.Context, s *ledger.Snapshot) error {
	if one.base.Seq == 0 {
		return nil
	}
	users := map[int64]bool{}
	for i := range one.events {
		if e := &one.events[i]; !e.Kind.Adjusts() {
			users[e.User] = true
		}
	}
	one.buyers = map[int64]int64{}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(users)), rowsAtOnce) {
		if err := s.ArchivedBuyers(ctx, one.base.Cell, some, func(user, units int64) { one.buyers[user] = units }); err != nil {
			return err
		}
	}
	return nil
}

// rows compares the rows of reservations with the last events about them. A reservation whose row is later has got further events.
func (one *stretch) rows(ctx context.Context, s *ledger.Snapshot) error {
	ids := make([]stock.ReservationID, 0, len(one.fold.last))
	for id := range one.fold.last {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b stock.ReservationID) int { return slices.Compare(a[:], b[:]) })
	seen := 0
	var fault error
	for some := range slices.Chunk(ids, rowsAtOnce) {
		err := s.Reservations(ctx, some, func(r *ledger.Row) {
			seen++
			last := one.fold.last[r.ID]
			switch {
			case last.Less(r.Position()):
				delete(one.fold.ended, r.ID) // its row stays
			case r.Position() != last.Position || r.State != last.Kind.State() || r.Quantity != last.Quantity || r.Cell != last.Cell:
				fault = one.fold.fault("the row of reservation %v is not what its last event at %d.%d says: see sluice reconcile", r.ID, last.Epoch, last.Seq)
			}
		})
		if err != nil {
			return err
		}
	}
	if fault == nil && seen != len(ids) {
		fault = one.fold.fault("%d reservations have no row: see sluice reconcile", len(ids)-seen)
	}
	return fault
}

// batch writes a file, reads it back, and deletes what is in it.
func (a *archiver) batch(ctx context.Context, some []*stretch) error {
	if a.DryRun {
		a.count(some)
		return nil
	}
	id, err := a.nextFile(ctx)
	if err != nil {
		return err
	}
	var nonce [4]byte
	_, _ = rand.Read(nonce[:]) // never fails
	name := fmt.Sprintf("%s-%09d-%s.sluice.gz", a.Deployment, id, hex.EncodeToString(nonce[:]))
	path := filepath.Join(a.Dir, name)
	sum, err := a.file(id, path+partial, some)
	if err == nil {
		err = a.commit(ctx, ledger.ArchiveFile{ID: id, Name: name, SHA256: sum}, some)
	}
	if errors.Is(err, ErrMoved) {
		return errors.Join(err, removed(path+partial))
	}
	if err != nil {
		return err // the file stays for the next run: whether the commit has happened may not be known
	}
	if err := a.Step("committed"); err != nil {
		return err
	}
	if err := finish(path); err != nil {
		return err
	}
	a.count(some)
	a.done.Files = append(a.done.Files, name)
	return nil
}

// finish gives a file its name, as its rows are deleted.
func finish(path string) error {
	if err := os.Rename(path+partial, path); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func (a *archiver) count(some []*stretch) {
	a.done.Cells += int64(len(some))
	for _, s := range some {
		a.done.Events += int64(len(s.events))
		a.done.Kept += int64(len(s.fold.Kept()))
		a.done.Reservations += int64(len(s.fold.ended))
	}
}

// file writes a file, and reads it back: it must have the same events, and each cell's must come to the same checkpoint.
func (a *archiver) file(id int64, path string, some []*stretch) (sum [32]byte, err error) {
	if err := a.Step("write"); err != nil {
		return sum, err
	}
	content, err := fileOf(Header{
		File: id, Deployment: a.Deployment, Ledger: a.ledger, Before: a.Before.UTC(),
		MadeAt: time.Now().UTC().Truncate(time.Second),
	}, some)
	if err != nil {
		return sum, err
	}
	if err := write(path, content); err != nil {
		return sum, errors.Join(err, removed(path)) // a full disk gets its room back
	}
	if err := syncDir(a.Dir); err != nil {
		return sum, err
	}
	if err := a.Step("written"); err != nil {
		return sum, err
	}
	i := 0
	checked, err := Check(path, func(s *Section, events []ledger.Recorded) error {
		if i == len(some) {
			return fmt.Errorf("%w: %v was not written", ErrFile, s.Cell())
		}
		want := some[i]
		i++
		return want.readBack(s, events)
	})
	if err == nil && i != len(some) {
		err = fmt.Errorf("%w: %d of %d cells", ErrFile, i, len(some))
	}
	if err != nil {
		return sum, fmt.Errorf("read %s back: %w", path, err)
	}
	return checked.SHA256, a.Step("verified")
}

// readBack compares what was read of a file with what was written.
func (one *stretch) readBack(s *Section, events []ledger.Recorded) error {
	to := one.fold.Checkpoint()
	if s.Cell() != to.Cell || s.From != stateOf(&one.base) || s.To != stateOf(&to) || !slices.Equal(events, one.events) {
		return fmt.Errorf("%w: it has other events of %v than were written", ErrFile, to.Cell)
	}
	fold, err := NewFold(one.base, one.kept, one.buyers)
	for i := 0; err == nil && i < len(events); i++ {
		err = fold.Apply(&events[i])
	}
	if err != nil {
		return err
	}
	for id := range fold.ended { // whose rows stay
		if _, leaves := one.fold.ended[id]; !leaves {
			delete(fold.ended, id)
		}
	}
	fold.aside = one.fold.aside
	if differs := fold.same(one.fold); differs != "" {
		return fmt.Errorf("%w: %v: %s", ErrFile, to.Cell, differs)
	}
	return nil
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// tidy ends what an earlier run has left: a file whose rows were deleted gets its name, and others are removed, because their rows
// are all in the ledger.
func (a *archiver) tidy(ctx context.Context) error {
	left, err := filepath.Glob(filepath.Join(escape(a.Dir), "*"+partial))
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	for _, path := range left {
		id, ours := a.numberOf(filepath.Base(path))
		if !ours {
			continue
		}
		file, err := a.books.ArchiveFile(ctx, id)
		if err != nil {
			return err
		}
		path = strings.TrimSuffix(path, partial)
		switch {
		case file != nil && file.Name == filepath.Base(path):
			err = finish(path)
		case a.others(path + partial):
			a.Log.Warn("this file is of another database: give each a directory of its own", "file", path+partial)
		default:
			err = removed(path + partial)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// others tells whether a file is of another database of the same name, which alone knows whether its rows have left. A file
// without a whole header was never done.
func (a *archiver) others(path string) bool {
	file, err := os.Open(path) //nolint:gosec // G304: of the archive's directory
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	r, err := NewReader(file)
	_ = file.Close() // it was only read
	return err == nil && r.Header.Ledger != a.ledger
}

var special = regexp.MustCompile(`[*?\[\\]`)

// escape has a path stand for itself in a pattern.
func escape(path string) string { return special.ReplaceAllString(path, `\$0`) }

// numberOf is the number in the name of a file of this deployment.
func (a *archiver) numberOf(name string) (id int64, ours bool) {
	rest, ours := strings.CutPrefix(name, a.Deployment+"-")
	if !ours {
		return 0, false
	}
	var nonce string
	n, err := fmt.Sscanf(strings.TrimSuffix(rest, ".sluice.gz"+partial), "%09d-%8s", &id, &nonce)
	return id, err == nil && n == 2
}
