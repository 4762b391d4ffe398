package ledger_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/persister/persistertest"
)

// A server that takes no writes has decided nothing about a dead letter, and the error says so.
func TestDecisionOnReadOnlyMySQLIsNotApplied(t *testing.T) {
	t.Parallel()
	_, dsn := servicetest.PrivateDatabase(t)
	on := func(db *sql.DB) *books { return &books{t: t, db: db, Reader: ledger.New(db, nil)} }
	root := on(persistertest.Migrated(t, dsn))
	root.exec("CREATE USER edge")
	root.exec("GRANT SELECT, UPDATE ON sluice.dead_letters TO edge")
	edge := on(persistertest.Open(t, strings.Replace(dsn, "root@", "edge@", 1)))
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
