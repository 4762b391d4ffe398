package persister

import (
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/archive"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// archiveWorld is a database that a persister has filled, and the directory of its archive.
type archiveWorld struct {
	t       *testing.T
	db      *sql.DB
	dir     string
	applier *applier
	marker  *marker
	history *history
	rows    []*row // everything that ever happened
}

func newArchiveWorld(t *testing.T, db *sql.DB, seed uint64) *archiveWorld {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	return &archiveWorld{
		t: t, db: db, dir: t.TempDir(), history: newHistory(seed, 8),
		applier: newApplier(db, newTestMeters(), log), marker: newMarker(db, newTestMeters(), log),
	}
}

// sell has things happen, and a persister write them down.
func (w *archiveWorld) sell(vectors int) {
	w.t.Helper()
	var rows []*row
	for range vectors {
		rows = append(rows, rowsOf(w.history.batch(1+w.history.rand.IntN(30)))...)
	}
	w.rows = append(w.rows, rows...)
	w.write(rows)
}

func (w *archiveWorld) write(rows []*row) {
	w.t.Helper()
	if err := w.applier.apply(w.t.Context(), rows, nil); err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		w.marker.touch(r.Cell)
	}
	w.mark()
}

func (w *archiveWorld) mark() {
	w.t.Helper()
	for range 3 {
		if err := w.marker.round(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *archiveWorld) config() archive.Config {
	return archive.Config{
		DB: w.db, Dir: w.dir, Deployment: "d", Share: 1, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
		Before: time.UnixMilli(w.history.nowMS - 40),
	}
}

func (w *archiveWorld) archive() archive.Done {
	w.t.Helper()
	done, err := archive.Run(w.t.Context(), w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// files are all events of the files, in the form of the ledger, and their names.
func (w *archiveWorld) files() (events map[string]int, names []string) {
	w.t.Helper()
	events = map[string]int{}
	names, err := filepath.Glob(filepath.Join(w.dir, "*.sluice.gz"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		_, err := archive.Check(name, func(_ *archive.Section, found []ledger.Recorded) error {
			for i := range found {
				events[eventText(&row{Event: found[i].Event, timeMS: found[i].TimeMS})]++
			}
			return nil
		})
		if err != nil {
			w.t.Error(name, err)
		}
	}
	return events, names
}

func eventText(r *row) string { return fmt.Sprintf("%+v %d", r.Event, r.timeMS) }

// holds compares ledger and files with what happened: everything is there, in files at most once, and the tables that are
// computed have what is not over.
func (w *archiveWorld) holds() {
	w.t.Helper()
	events, _ := w.files()
	books := ledger.New(w.db, nil)
	s, err := books.Snapshot(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	for text, n := range events {
		if n != 1 {
			w.t.Errorf("files have %d times %s", n, text)
		}
	}
	bases := map[stock.Cell]ledger.Checkpoint{}
	for _, c := range w.history.cells {
		found, err := s.Checkpoints(w.t.Context(), []stock.Cell{c.last.Cell})
		if err != nil {
			w.t.Fatal(err)
		}
		if base, ok := found[c.last.Cell]; ok {
			bases[c.last.Cell] = base
		}
		err = s.Events(w.t.Context(), c.last.Cell, stock.Position{}, 1<<20, func(e *ledger.Recorded) {
			text := eventText(&row{Event: e.Event, timeMS: e.TimeMS})
			if base, ok := bases[e.Cell]; ok && !base.Less(e.Position) {
				if events[text] != 1 {
					w.t.Errorf("the ledger still has what no file has: %s", text)
				}
				return
			}
			events[text] += 2
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	for _, r := range w.rows {
		if n := events[eventText(r)]; n != 1 && n != 2 {
			w.t.Errorf("%d times in files (1) and ledger (2): %s", n, eventText(r))
		}
	}
	if len(events) != len(w.rows) {
		w.t.Errorf("%d events, want %d", len(events), len(w.rows))
	}
	w.counts(s, bases)
}

// counts compares users' counts with those of a walk over everything that happened.
func (w *archiveWorld) counts(s *ledger.Snapshot, bases map[stock.Cell]ledger.Checkpoint) {
	w.t.Helper()
	all := map[stock.Cell]map[stock.ReservationID]*row{}
	want, got := map[string]int64{}, map[string]int64{}
	key := func(c stock.Cell, user int64) string { return fmt.Sprintf("%v %d", c, user) }
	for _, r := range w.rows {
		if r.Kind.Adjusts() {
			continue
		}
		if all[r.Cell] == nil {
			all[r.Cell] = map[stock.ReservationID]*row{}
		}
		all[r.Cell][r.Reservation] = r
		base, ok := bases[r.Cell]
		if st := r.Kind.State(); st == stock.StateConfirmed && ok && !base.Less(r.Position) {
			want[key(r.Cell, r.User)] += r.Quantity // a limit applies from the first event on
		}
	}
	rows := map[stock.ReservationID]bool{}
	for _, line := range lines(w.t, w.db, "SELECT HEX(reservation_id) FROM reservations") {
		id, err := stock.ParseReservationID(strings.ToLower(line))
		if err != nil {
			w.t.Fatal(err)
		}
		rows[id] = true
	}
	for c, of := range all {
		base, archived := bases[c]
		for id, last := range of {
			gone := archived && !base.Less(last.Position) && last.Kind.State() != stock.StateHeld
			if rows[id] == gone {
				w.t.Errorf("reservation %v: row there is %v, its last event is archived: %v", id, rows[id], gone)
			}
		}
		if err := s.ArchivedBuyers(w.t.Context(), c, nil, func(user, units int64) { got[key(c, user)] = units }); err != nil {
			w.t.Fatal(err)
		}
	}
	for k, units := range got {
		if units == 0 {
			delete(got, k)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Error("counts of users:", diff)
	}
}

// exec changes tables by hand.
func (w *archiveWorld) exec(statement string) {
	w.t.Helper()
	if _, err := w.db.ExecContext(w.t.Context(), statement); err != nil {
		w.t.Fatal(statement, err)
	}
}
