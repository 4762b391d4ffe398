package db_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestAPanicLeavesNoTransaction: the only connection is free afterwards, and what the transaction did is not there.
func TestAPanicLeavesNoTransaction(t *testing.T) {
	t.Parallel()
	pool, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := pool.ExecContext(ctx, "CREATE TABLE things (id INT PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if said := recover(); said != "a fault" {
				t.Errorf("Write passes on %v", said)
			}
		}()
		_ = db.Write(ctx, pool, "a thing", func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO things VALUES (1)"); err != nil {
				t.Error(err)
			}
			panic("a fault")
		})
	}()
	var n int
	if err := pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM things").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d things, %v", n, err)
	}
}
