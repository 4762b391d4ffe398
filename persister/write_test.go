package persister

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// emptyDatabase is a database without tables.
func emptyDatabase(t testing.TB) *sql.DB {
	t.Helper()
	return openDatabase(t, servicetest.MariaDB(t))
}

// database is a database with the schema.
func database(t testing.TB) *sql.DB {
	t.Helper()
	db := emptyDatabase(t)
	if _, err := Schema().Migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return db
}

// openDatabase opens a database as a persister does.
func openDatabase(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	cfg := db.Config{DSN: config.Secret(dsn)}
	defaults, err := kong.New(&cfg)
	if err == nil {
		_, err = defaults.Parse(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := cfg.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// fail is the part that testing.T and rapid.T share.
type fail interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

// lines are the rows of a query as text.
func lines(t fail, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for _, v := range values {
			line = append(line, v.String)
		}
		all = append(all, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	allLedger = "SELECT sku_id, pool, bucket, epoch, seq, kind, HEX(reservation_id), user_id, quantity, fingerprint, " +
		"available_stock, reserved_stock, sold_stock, deadline_ms, redis_ms, delta, fields, HEX(settings), HEX(reason) " +
		"FROM ledger ORDER BY sku_id, pool, bucket, epoch, seq"
	allInventories = "SELECT sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, safe_stock, " +
		"warehouse_id, epoch, seq, ROUND(UNIX_TIMESTAMP(CONVERT_TZ(last_updated, '+00:00', @@session.time_zone)) * 1000) " +
		"FROM product_inventories ORDER BY sku_id, pool, bucket"
	allReservations = "SELECT HEX(reservation_id), sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, " +
		"updated_ms FROM reservations ORDER BY reservation_id"
	allLetters = "SELECT reason, sku_id, pool, bucket, epoch, seq FROM dead_letters ORDER BY reason, sku_id, bucket, seq"
)

// tables has the rows that the events of a history give, computed without SQL.
type tables struct{ ledger, inventories, reservations []string }

func tablesOf(rows []*row) tables {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, byPosition)
	var all tables
	cells, reservations, reservedMS := map[stock.Cell]string{}, map[string]string{}, map[stock.ReservationID]int64{}
	for _, r := range rows {
		cell := fmt.Sprintf("%d %d %d", r.Cell.SKU, r.Cell.Pool, r.Cell.Bucket)
		change := "   "
		if r.Kind.Adjusts() {
			change = fmt.Sprintf("%d %d %X %X", r.Change.Delta, r.Change.Fields, event.AppendSettings(nil, r.Change.Settings, 0), r.Change.Reason)
		} else {
			if r.Kind == event.KindReserve || r.Kind == event.KindDeduct {
				reservedMS[r.Reservation] = r.timeMS
			}
			reservations[fmt.Sprintf("%X", r.Reservation[:])] = fmt.Sprintf("%X %s %d %d %v %d %d %d %d %d", r.Reservation[:], cell,
				r.User, r.Quantity, r.Kind.State(), r.DeadlineMS, reservedMS[r.Reservation], r.Epoch, r.Seq, r.timeMS)
		}
		all.ledger = append(all.ledger, fmt.Sprintf("%s %d %d %v %X %d %d %d %d %d %d %d %d %s", cell, r.Epoch, r.Seq, r.Kind,
			r.Reservation[:], r.User, r.Quantity, r.Fingerprint, r.Avail, r.Held, r.Sold, r.DeadlineMS, r.timeMS, change))
		if len(cells[r.Cell]) > 0 {
			all.inventories = all.inventories[:len(all.inventories)-1]
		}
		cells[r.Cell] = fmt.Sprintf("%s %d %d %d %d 0 0 %d %d %d", cell, r.Total(), r.Avail, r.Held, r.Sold, r.Epoch, r.Seq, r.timeMS)
		all.inventories = append(all.inventories, cells[r.Cell])
	}
	for _, line := range reservations {
		all.reservations = append(all.reservations, line)
	}
	slices.Sort(all.reservations)
	return all
}

// holds compares the database with what it should hold.
func (want tables) holds(t fail, db *sql.DB) {
	t.Helper()
	got := tables{lines(t, db, allLedger), lines(t, db, allInventories), lines(t, db, allReservations)}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(tables{})); diff != "" {
		t.Errorf("%s", diff)
	}
}

func truncate(t fail, db *sql.DB) {
	t.Helper()
	for _, table := range []string{"ledger", "product_inventories", "reservations", "dead_letters", "applied_marks"} {
		if _, err := db.ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOrderAndRepetitionDoNotMatter applies one history in its order and, of the same events, any
// selection of batches in any order, some of them several times, until all have been there.
func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	t.Parallel()
	db := database(t)
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 5).Draw(t, "cells"))
		h.rebase = 10
		var rows []*row
		for range rapid.IntRange(1, 12).Draw(t, "vectors") {
			rows = append(rows, rowsOf(h.batch(rapid.IntRange(1, 10).Draw(t, "size")))...)
		}
		want := tablesOf(rows)
		repeated := rapid.SliceOfN(rapid.SampledFrom(rows), 0, 10).Draw(t, "repeated")
		arriving := rapid.Permutation(slices.Concat(rows, repeated)).Draw(t, "arriving")
		truncate(t, db)
		w := writer{db: db}
		inserted := 0
		for len(arriving) > 0 {
			n := rapid.IntRange(1, len(arriving)).Draw(t, "transaction")
			done, err := w.write(t.Context(), arriving[:n], nil)
			if err != nil || len(done.letters) > 0 {
				t.Fatal(err, done.letters)
			}
			inserted += done.events
			arriving = arriving[n:]
		}
		if inserted != len(rows) {
			t.Errorf("%d rows counted as new, want %d", inserted, len(rows))
		}
		want.holds(t, db)
	})
}

func rowsOf(b event.Batch) []*row {
	var rows []*row
	for _, e := range b.Events {
		rows = append(rows, &row{Event: e, partition: b.Partition, timeMS: b.TimeMS})
	}
	return rows
}

// TestForks changes each part of an event in turn: nothing that differs may pass as a duplicate.
// TestEveryKindIsKeptWhole writes an event of each kind, and again: a member that the ledger lost would make it a fork.
func TestEveryKindIsKeptWhole(t *testing.T) {
	t.Parallel()
	w := writer{db: database(t)}
	var rows []*row
	for kind := event.KindReserve; kind <= event.KindExtend; kind++ {
		r := &row{partition: 3, timeMS: 1_700_000_000_000 + int64(kind), Event: event.Event{
			Kind: kind, Reservation: stock.ReservationID{0, 3, byte(kind)}, User: 7, Quantity: 2, Fingerprint: 9,
			Cell: stock.Cell{SKU: int64(kind)}, Position: stock.Position{Epoch: 2, Seq: 13},
			Avail: 100, Held: 20, Sold: 30, DeadlineMS: 1_700_000_900_000,
		}}
		if kind.Adjusts() {
			r.Quantity, r.DeadlineMS = 0, 0
			r.Change.Fields, r.Change.Settings = stock.FieldExtendMax, stock.Settings{Limit: 3, Hold: time.Minute, ExtendMax: time.Hour}
		}
		if kind.HasReason() {
			r.Change.Reason = "why"
		}
		switch kind {
		case event.KindAdjust, event.KindTransferIn:
			r.Change.Delta = 5
		case event.KindTransferOut:
			r.Change.Delta = -5
		case event.KindRebase:
			r.Change.From = stock.Position{Epoch: r.Epoch - 1, Seq: r.Seq - 1}
		}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	for attempt, want := range []int{len(rows), 0} {
		done, err := w.write(t.Context(), rows, nil)
		if err != nil || len(done.letters) > 0 || done.events != want {
			t.Errorf("attempt %d: %d events, want %d; letters %v; %v", attempt, done.events, want, done.letters, err)
		}
	}
	want := []string{"1 held", "2 confirmed", "3 released", "4 expired", "5 confirmed", "10 revoked", "11 returned", "12 held"}
	if diff := cmp.Diff(want, lines(t, w.db, "SELECT sku_id, state FROM reservations ORDER BY sku_id")); diff != "" {
		t.Errorf("reservations:\n%s", diff)
	}
	forks := map[event.Kind][]func(*row){
		event.KindReturn: {func(r *row) { r.Change.Reason = "why not" }},
		event.KindAdjust: {func(r *row) { r.Change.Settings.ExtendMax = time.Minute }},
		event.KindRebase: {func(r *row) { r.Change.From.Seq++ }, func(r *row) { r.Change.From.Epoch = 0 }},
	}
	for kind, changes := range forks {
		for i, change := range changes {
			fork := *rows[kind-1]
			change(&fork)
			done, err := w.write(t.Context(), []*row{&fork}, nil)
			if err != nil || len(done.letters) != 1 {
				t.Errorf("change %d of a %v: letters %v, %v", i, kind, done.letters, err)
			}
		}
	}
}

func TestForks(t *testing.T) {
	t.Parallel()
	db := database(t)
	w := writer{db: db}
	h := newHistory(1, 1)
	var rows []*row
	for range 40 {
		rows = append(rows, rowsOf(h.batch(1))...)
	}
	if _, err := w.write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	want := tablesOf(rows)
	reserve := rows[slices.IndexFunc(rows, func(r *row) bool { return r.Kind == event.KindReserve })]
	forks := map[string]func(*row){
		"kind":        func(r *row) { r.Kind = event.KindExpire },
		"reservation": func(r *row) { r.Reservation[15]++ },
		"user":        func(r *row) { r.User++ },
		"quantity":    func(r *row) { r.Quantity++ },
		"fingerprint": func(r *row) { r.Fingerprint++ },
		"avail":       func(r *row) { r.Avail++ },
		"held":        func(r *row) { r.Held++ },
		"sold":        func(r *row) { r.Sold++ },
		"deadline":    func(r *row) { r.DeadlineMS++ },
		"time":        func(r *row) { r.timeMS++ },
		"change": func(r *row) {
			r.Kind, r.Quantity, r.Change = event.KindAdjust, 0, event.Change{Delta: 1, Reason: "x"}
		},
	}
	adjust := rows[0]
	adjustForks := map[string]func(*row){
		"delta":    func(r *row) { r.Change.Delta++ },
		"fields":   func(r *row) { r.Change.Fields++ },
		"settings": func(r *row) { r.Change.Settings.Limit++ },
		"reason":   func(r *row) { r.Change.Reason += "!" },
	}
	found := 0
	check := func(name string, original *row, change func(*row)) {
		t.Run(name, func(t *testing.T) { // in turn: they share a database
			fork := *original
			change(&fork)
			for range 2 { // the second time it is known
				done, err := w.write(t.Context(), []*row{original, &fork, original}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if done.events != 0 || len(done.letters) > 0 && (len(done.letters) != 1 || done.letters[0].reason != reasonFork) {
					t.Errorf("%d new rows, dead letters %v", done.events, done.letters)
				}
				found += len(done.letters)
			}
		})
	}
	for name, change := range forks {
		check(name, reserve, change)
	}
	for name, change := range adjustForks {
		check(name, adjust, change)
	}
	if found != len(forks)+len(adjustForks) {
		t.Errorf("%d forks found, want %d, each once", found, len(forks)+len(adjustForks))
	}
	want.holds(t, db)

	var data []byte
	if err := db.QueryRowContext(t.Context(), "SELECT data FROM dead_letters WHERE seq = ? LIMIT 1", reserve.Seq).Scan(&data); err != nil {
		t.Fatal(err)
	}
	if b, err := event.Decode(data); err != nil || len(b.Events) != 1 || b.Events[0].Cell != reserve.Cell {
		t.Errorf("a dead letter is no message of its own: %+v, %v", b, err)
	}
	if n := reflect.TypeFor[event.Event]().NumField(); n != 12 {
		t.Errorf("an event has %d fields now: add a fork for the new one", n)
	}
}

// TestForkOfTheKeptRow sends the rival of a row that the ledger has before that row itself.
func TestForkOfTheKeptRow(t *testing.T) {
	t.Parallel()
	db := database(t)
	w := writer{db: db}
	rows := rowsOf(newHistory(1, 1).batch(3))
	if _, err := w.write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	rival := *rows[2]
	rival.User++
	done, err := w.write(t.Context(), []*row{&rival, rows[2]}, nil)
	if err != nil || len(done.letters) != 1 || *done.letters[0].event != rival.Event {
		t.Errorf("want a dead letter for the rival alone: %+v, %v", done.letters, err)
	}
	tablesOf(rows).holds(t, db)
}

// TestForkKeepsOutOfProjections lets a fork be the highest of its cell in its batch.
func TestForkKeepsOutOfProjections(t *testing.T) {
	t.Parallel()
	db := database(t)
	w := writer{db: db}
	h := newHistory(2, 2)
	rows := append(rowsOf(event.Batch{Events: []event.Event{h.next(h.cells[0]), h.next(h.cells[0])}}),
		rowsOf(event.Batch{Events: []event.Event{h.next(h.cells[1])}})...)
	if _, err := w.write(t.Context(), rows[:2], nil); err != nil {
		t.Fatal(err)
	}
	fork := *rows[1]
	fork.Avail, fork.timeMS, fork.Reservation[3] = fork.Avail+100, 7, 99
	done, err := w.write(t.Context(), []*row{&fork, rows[2]}, nil)
	if err != nil || len(done.letters) != 1 {
		t.Fatal(err, done.letters)
	}
	tablesOf(rows).holds(t, db)
}

func newTestMeters() *meters { return newMeters(metrics.NewSet()) }
