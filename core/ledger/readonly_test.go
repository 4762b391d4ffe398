package ledger_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/persister"
)

// A server that takes no writes has decided nothing about a dead letter, and whoever asked is told so.
func TestDecisionOnReadOnlyMySQLIsNotApplied(t *testing.T) {
	t.Parallel()
	_, dsn := servicetest.PrivateDatabase(t)
	open := func(dsn string) *books {
		t.Helper()
		db, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: time.Minute}.OpenUnchecked()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &books{t: t, db: db, Reader: ledger.New(db, nil)}
	}
	root := open(dsn)
	if _, err := persister.Schema().Migrate(t.Context(), root.db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	root.exec("CREATE USER edge")
	root.exec("GRANT SELECT, UPDATE ON sluice.dead_letters TO edge")
	edge := open(strings.Replace(dsn, "root@", "edge@", 1))
	resolve := func() error {
		_, _, err := edge.Resolve(t.Context(), ledger.LetterID{1}, ledger.Decision{By: "me", Reason: "seen"})
		return err
	}
	root.exec("SET GLOBAL read_only = 1")
	if err := resolve(); !errors.Is(err, stock.ErrNotApplied) || errors.Is(err, stock.ErrUnknown) {
		t.Errorf("read-only: %v", err)
	}
	root.exec("SET GLOBAL read_only = 0")
	if err := resolve(); !errors.Is(err, ledger.ErrNoLetter) {
		t.Errorf("writable again: %v", err)
	}
}
