package db_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestStatementsAreKept counts what a connection prepares. A statement is prepared once, unless it has failed since, is long, or was
// followed by many others.
func TestStatementsAreKept(t *testing.T) {
	t.Parallel()
	pool, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	ctx := t.Context()
	status := func(name string) (n int) {
		t.Helper()
		if err := pool.QueryRowContext(ctx, "SHOW SESSION STATUS LIKE '"+name+"'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	prepared := func() int { return status("Com_stmt_prepare") - status("Com_stmt_reprepare") } // the latter by the server itself
	prepares := func(what string, want int, do func()) {
		t.Helper()
		before := prepared()
		do()
		if n := prepared() - before; n != want {
			t.Errorf("%s prepares %d statements, want %d", what, n, want)
		}
	}
	ask := func(query string, value, want int) {
		t.Helper()
		var n int
		if err := pool.QueryRowContext(ctx, query, value).Scan(&n); err != nil || n != want {
			t.Errorf("%s of %d: %d, %v, want %d", query, value, n, err, want)
		}
	}
	exec := func(query string, values ...any) error {
		_, err := pool.ExecContext(ctx, query, values...)
		return err
	}
	if err := exec("CREATE TABLE things (id INT PRIMARY KEY, n INT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	const insert, look = "INSERT INTO things (id, n) VALUES (?, ?)", "SELECT n FROM things WHERE id = ?"
	prepares("a statement that comes again", 2, func() {
		for id := range 10 {
			if err := exec(insert, id, id*id); err != nil {
				t.Error(err)
			}
			ask(look, id, id*id)
		}
	})
	prepares("a statement in a transaction", 0, func() {
		tx, err := pool.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := tx.QueryRowContext(ctx, look, 3).Scan(&n); err != nil || n != 9 {
			t.Error(n, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
	prepares("a statement that fails", 1, func() {
		if err := exec(insert, 1, 1); db.Answer(err) != db.AnswerDuplicate {
			t.Error(err)
		}
		if err := exec(insert, 100, 1); err != nil {
			t.Error(err)
		}
	})
	prepares("a statement whose table has changed", 0, func() {
		if err := exec("ALTER TABLE things MODIFY n VARCHAR(10) NOT NULL, ADD COLUMN more INT NOT NULL DEFAULT 7 FIRST"); err != nil {
			t.Fatal(err)
		}
		ask(look, 4, 16)
		if err := exec(insert, 200, 5); err != nil {
			t.Error(err)
		}
		var text string
		if err := pool.QueryRowContext(ctx, look, 200).Scan(&text); err != nil || text != "5" {
			t.Errorf("%q, %v", text, err)
		}
	})
	long := look + strings.Repeat(" ", 5000)
	prepares("a long statement", 2, func() {
		ask(long, 1, 1)
		ask(long, 1, 1)
	})
	prepares("one that is read while another is, and one after many others", 2+100+1, func() {
		held, err := pool.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var all [2]*sql.Stmt
		for i := range all { // both of one text at once
			if all[i], err = held.PrepareContext(ctx, "SELECT n + 1 FROM things WHERE id = ?"); err != nil { //nolint:sqlclosecheck // it is closed below
				t.Fatal(err)
			}
		}
		for _, s := range all {
			var n int
			if err := s.QueryRowContext(ctx, 2).Scan(&n); err != nil || n != 5 {
				t.Error(n, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := held.Close(); err != nil {
			t.Error(err)
		}
		for i := range 100 {
			ask(fmt.Sprintf("SELECT n + %d FROM things WHERE id = ?", i+100), 2, 4+i+100)
		}
		ask(look, 2, 4)
	})
	if n := prepared() - status("Com_stmt_close"); n < 60 || n > 64 {
		t.Errorf("the connection has %d statements, want at most 64", n)
	}
}

// TestServerWithoutRoomForStatements asks a server that has room for a few. The connection that is refused gives back what it keeps, to
// itself and to others.
func TestServerWithoutRoomForStatements(t *testing.T) {
	t.Parallel()
	server, dsn := servicetest.PrivateDatabase(t)
	if err := server.SetGlobal(t.Context(), "max_prepared_stmt_count = 8"); err != nil {
		t.Fatal(err)
	}
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	var conns [2]*sql.Conn
	for i := range conns {
		if conns[i], err = pool.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range 20 {
			var got int
			if err := conns[i].QueryRowContext(t.Context(), fmt.Sprintf("SELECT ? + %d", n), 1).Scan(&got); err != nil || got != n+1 {
				t.Fatalf("statement %d of connection %d: %d, %v", n, i, got, err)
			}
		}
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
