package persister

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// TestRefusedEventsAreIsolated lets the database refuse events that the earlier checks accept.
func TestRefusedEventsAreIsolated(t *testing.T) {
	t.Parallel()
	db := database(t)
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE ledger ADD CONSTRAINT unlucky CHECK (user_id <> 13)"); err != nil {
		t.Fatal(err)
	}
	h := newHistory(3, 4)
	var good, all []*row
	for i := range 200 {
		r := rowsOf(event.Batch{TimeMS: 1, Events: []event.Event{h.next(h.cells[0])}})[0]
		if i%50 == 17 {
			r.User = 13
		} else {
			r.User = 1 + r.User%12
			good = append(good, r)
		}
		all = append(all, r)
	}
	m := newTestMeters()
	if err := newApplier(db, m, slog.New(slog.DiscardHandler)).apply(t.Context(), all, nil); err != nil {
		t.Fatal(err)
	}
	tablesOf(good).holds(t, db)
	if got := m.letters[reasonRefused].Get(); got != 4 {
		t.Errorf("%d dead letters, want 4", got)
	}
}

// TestNoLetterIsLost has an event that is too large beside its letters, and then refused.
func TestNoLetterIsLost(t *testing.T) {
	t.Parallel()
	db := database(t)
	db.SetMaxOpenConns(1) // whose tries the trigger counts
	if _, err := db.ExecContext(t.Context(), "CREATE TRIGGER unlucky BEFORE INSERT ON ledger FOR EACH ROW BEGIN "+
		"SET @tries = IFNULL(@tries, 0) + 1; "+
		"IF @tries = 1 THEN SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1153, MESSAGE_TEXT = 'too large'; END IF; "+
		"SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 4025, MESSAGE_TEXT = 'refused'; END"); err != nil {
		t.Fatal(err)
	}
	h := newHistory(6, 1)
	letters := poison(0, 4)
	if err := newApplier(db, newTestMeters(), slog.New(slog.DiscardHandler)).apply(t.Context(), inARow(h, h.cells[0], 1), letters[:2]); err != nil {
		t.Fatal(err)
	}
	want := []string{"malformed 0", "malformed 1", "refused "}
	if diff := cmp.Diff(want, lines(t, db, "SELECT reason, kafka_offset FROM dead_letters ORDER BY reason, kafka_offset")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(poison(2, 2), letters[2:], cmp.AllowUnexported(letter{}, origin{})); diff != "" {
		t.Errorf("somebody wrote behind the letters: %s", diff)
	}
}

// TestRefusedLettersAreInsistedOn: a letter that the database refuses has no letter of its own. It is tried until
// somebody has mended that, and its worker goes on.
func TestRefusedLettersAreInsistedOn(t *testing.T) {
	t.Parallel()
	mysql := database(t)
	mysql.SetMaxOpenConns(1) // whose tries the trigger counts
	if _, err := mysql.ExecContext(t.Context(), "CREATE TRIGGER unlucky BEFORE INSERT ON dead_letters FOR EACH ROW BEGIN "+
		"SET @tries = IFNULL(@tries, 0) + 1; "+
		"IF @tries < 3 THEN SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 4025, MESSAGE_TEXT = 'refused'; END IF; END"); err != nil {
		t.Fatal(err)
	}
	m := newTestMeters()
	if err := newApplier(mysql, m, slog.New(slog.DiscardHandler)).apply(t.Context(), nil, poison(0, 1)); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, mysql, "SELECT reason FROM dead_letters"); len(got) != 1 || m.retries[db.FailureRefused].Get() != 2 {
		t.Errorf("%v after %d refusals", got, m.retries[db.FailureRefused].Get())
	}
}

// TestSmallPacketsAreRemembered writes batches into a server that takes statements of some ten events, or of one letter.
func TestSmallPacketsAreRemembered(t *testing.T) {
	t.Parallel()
	mariadb, dsn := servicetest.PrivateDatabase(t)
	setup := openDatabase(t, dsn)
	if _, err := Schema().Migrate(t.Context(), setup, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := mariadb.SetGlobal(t.Context(), "max_allowed_packet = 4096"); err != nil {
		t.Fatal(err)
	}
	mysql := openDatabase(t, dsn)
	if _, err := mysql.ExecContext(t.Context(), "ALTER TABLE ledger ADD CONSTRAINT unlucky CHECK (user_id <> 13)"); err != nil {
		t.Fatal(err)
	}
	m := newTestMeters()
	a := newApplier(mysql, m, slog.New(slog.DiscardHandler))
	h := newHistory(7, 4)
	const batches, events = 20, 50
	var good []*row
	for b := range batches {
		var all []*row
		for i := range events {
			r := rowsOf(event.Batch{TimeMS: 1, Events: []event.Event{h.next(h.cells[0])}})[0]
			if r.User = 1 + r.User%12; b == 10 && i == 17 {
				r.User = 13
			} else {
				good = append(good, r)
			}
			all = append(all, r)
		}
		letters := poison(2*b, 2)
		for i := range letters {
			letters[i].data = append(letters[i].data, bytes.Repeat([]byte("x"), 2500)...)
		}
		if err := a.apply(t.Context(), all, letters); err != nil {
			t.Fatal(err)
		}
	}
	tablesOf(good).holds(t, mysql)
	want := []string{fmt.Sprint("malformed ", 2*batches), "refused 1"}
	if diff := cmp.Diff(want, lines(t, mysql, "SELECT reason, COUNT(*) FROM dead_letters GROUP BY reason ORDER BY reason")); diff != "" {
		t.Error(diff)
	}
	if failed, done := m.retries[db.FailureTooLarge].Get(), m.batches.Get(); failed == 0 || failed > done/8 {
		t.Errorf("%d transactions were too large, beside %d that were not", failed, done)
	}
}

func TestPortion(t *testing.T) {
	t.Parallel()
	p := newPortion(100)
	p.tooLarge(60)
	for range growAfter - 1 {
		p.fits()
	}
	if p.size != 30 {
		t.Errorf("%d before it has calmed", p.size)
	}
	for _, want := range []int{60, 100, 100} {
		for p.fits(); p.calm > 0; p.fits() {
		}
		if p.size != want {
			t.Errorf("it grew to %d, want %d", p.size, want)
		}
	}
	if p.tooLarge(1); p.size != 1 {
		t.Errorf("%d at once, want one", p.size)
	}
}

// TestDeadlock runs a batch into a deadlock, whose victim it is.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	mysql := database(t)
	a := newApplier(mysql, newTestMeters(), slog.New(slog.DiscardHandler))
	h := newHistory(4, 2)
	both := func(ms int64) []*row {
		return rowsOf(event.Batch{TimeMS: ms, Events: []event.Event{h.next(h.cells[0]), h.next(h.cells[1])}})
	}
	first := both(1)
	if err := a.apply(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	other, err := mysql.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	do := func(statement string, args ...any) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 { // the database spares who has written more
		do("INSERT INTO sales (sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts) "+
			"VALUES (?, '', 0, 0, 0, 1, 1, 0)", i+1)
	}
	const lock = "UPDATE product_inventories SET safe_stock = 1 WHERE sku_id = ? AND pool = ? AND bucket = ?"
	of := func(c stock.Cell) []any { return []any{c.SKU, c.Pool, c.Bucket} }
	do(lock, of(first[1].Cell)...)
	all := slices.Concat(first, both(2))
	var me int64
	if err := other.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&me); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.apply(t.Context(), all, nil) }()
	for waiting := 0; waiting == 0; { // until the batch has the first cell and waits for the second
		time.Sleep(150 * time.Millisecond) // asked more often the server repeats its last answer
		if err := mysql.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.innodb_lock_waits w "+
			"JOIN information_schema.innodb_trx b ON b.trx_id = w.blocking_trx_id WHERE b.trx_mysql_thread_id = ?", me).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	do(lock, of(first[0].Cell)...)
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if a.meters.retries[db.FailureDeadlock].Get() == 0 {
		t.Error("there was no deadlock")
	}
	tablesOf(all).holds(t, mysql)
}

// TestLockTimeout makes the database give up on one statement only, and nothing of the others may stay.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	mysql := database(t)
	mysql.SetMaxOpenConns(2)
	h := newHistory(5, 1)
	rows := rowsOf(h.batch(3))
	w := writer{db: mysql}
	if _, err := w.write(t.Context(), rows[:1], nil); err != nil {
		t.Fatal(err)
	}
	other, err := mysql.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "UPDATE product_inventories SET safe_stock = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := mysql.ExecContext(t.Context(), "SET innodb_lock_wait_timeout = 1"); err != nil { // the only other connection
		t.Fatal(err)
	}
	if _, err := w.write(t.Context(), rows, nil); db.FailureOf(err) != db.FailureLockTimeout {
		t.Errorf("want a lock timeout, got %v", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	tablesOf(rows[:1]).holds(t, mysql)
}

// forgetful is a connector to a database whose answers to commits get lost, the next so many.
type forgetful struct {
	driver.Connector
	lose *atomic.Int32
}

type forgetfulConn struct {
	mysqlConn
	lose *atomic.Int32
}

type forgetfulTx struct {
	driver.Tx
	lose *atomic.Int32
}

// mysqlConn is the part of the driver's connections that is needed here.
type mysqlConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

func (f forgetful) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return forgetfulConn{conn.(mysqlConn), f.lose}, nil
}

func (c forgetfulConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.mysqlConn.BeginTx(ctx, o)
	return forgetfulTx{tx, c.lose}, err
}

func (t forgetfulTx) Commit() error {
	err := t.Tx.Commit()
	if err == nil && t.lose.Add(-1) >= 0 {
		return mysql.ErrInvalidConn
	}
	return err
}

// TestLettersOfALostCommitAreReported writes a fork and a message that cannot be read, and learns of it only
// at the third try.
func TestLettersOfALostCommitAreReported(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	if _, err := Schema().Migrate(t.Context(), openDatabase(t, dsn), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	inner, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 1, Timeout: patience}.Connector()
	if err != nil {
		t.Fatal(err)
	}
	lose := new(atomic.Int32)
	mysql := sql.OpenDB(forgetful{inner, lose})
	defer mysql.Close()
	m := newTestMeters()
	var log bytes.Buffer
	a := newApplier(mysql, m, slog.New(slog.NewTextHandler(&log, nil)))
	rows := rowsOf(newHistory(1, 1).batch(5))
	if err := a.apply(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	fork := *rows[1]
	fork.User++
	lose.Store(2)
	for range 2 { // the second time all is known
		if err := a.apply(t.Context(), []*row{&fork}, poison(0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if forks, malformed := m.letters[reasonFork].Get(), m.letters[reasonMalformed].Get(); forks != 1 || malformed != 1 {
		t.Errorf("%d forks and %d malformed messages counted, want one of each", forks, malformed)
	}
	if m.retries[db.FailureConnection].Get() != 2 {
		t.Error("no answer was lost")
	}
	if strings.Count(log.String(), "cannot write into mysql yet") != 1 || strings.Count(log.String(), "works again: write into mysql") != 1 {
		t.Errorf("want the trouble and its end told once:\n%s", log.String())
	}
}
