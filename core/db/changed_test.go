package db_test

import (
	"database/sql"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestChangedIsADeadlock has two transactions change one row. The second one began before the first one's commit: since MariaDB
// 11.6 it is refused by default, as a deadlock is, and can be repeated.
func TestChangedIsADeadlock(t *testing.T) {
	t.Parallel()
	pool, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 2, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	exec := func(statement string) {
		t.Helper()
		if _, err := pool.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	exec("CREATE TABLE cells (id INT PRIMARY KEY, held INT)")
	exec("INSERT INTO cells VALUES (1, 0)")
	tx, err := pool.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var held int
	if err := tx.QueryRowContext(t.Context(), "SELECT held FROM cells").Scan(&held); err != nil {
		t.Fatal(err)
	}
	exec("UPDATE cells SET held = 7")
	_, err = tx.ExecContext(t.Context(), "UPDATE cells SET held = held + 1")
	if db.Answer(err) != db.AnswerChanged || db.FailureOf(err) != db.FailureDeadlock {
		t.Errorf("a row that another transaction has changed: %v, a failure %s", err, db.FailureOf(err))
	}
}
