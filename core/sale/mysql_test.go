package sale_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/persister/persistertest"
)

// TestRefusedByMySQLIsNotApplied changes sales while MySQL takes no writes: nothing was done, and the caller is told
// so, rather than that nobody knows.
func TestRefusedByMySQLIsNotApplied(t *testing.T) {
	t.Parallel()
	_, dsn := servicetest.PrivateDatabase(t)
	root := persistertest.Migrated(t, dsn)
	m := newMarketOn(t, root, map[int64]int64{1: 100, 2: 100})
	if _, err := root.ExecContext(t.Context(), "CREATE USER edge"); err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		t.Helper()
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	for _, table := range []string{"sales", "sale_items", "pools", "sale_keys"} {
		exec("GRANT SELECT, INSERT, UPDATE ON sluice." + table + " TO edge")
	}
	desk := sale.NewDesk(m.store, persistertest.Open(t, strings.Replace(dsn, "root@", "edge@", 1)), retention)
	for _, c := range []struct{ spoil, mend string }{
		{"SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"},
		{"REVOKE INSERT ON sluice.sale_items FROM edge", "GRANT INSERT ON sluice.sale_items TO edge"},
	} {
		exec(c.spoil)
		if _, err := desk.Create(t.Context(), plan()); !errors.Is(err, stock.ErrNotApplied) || errors.Is(err, stock.ErrUnknown) {
			t.Errorf("%s: %v", c.spoil, err)
		}
		if _, err := desk.Show(t.Context(), plan().ID); !errors.Is(err, sale.ErrNotFound) {
			t.Errorf("%s: there is a sale: %v", c.spoil, err)
		}
		exec(c.mend)
	}
	if _, err := desk.Create(t.Context(), plan()); err != nil {
		t.Error(err)
	}
}

// What MySQL was asked to read was not done; what it was asked to write may have been.
func TestMySQLIsAway(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))

	other, err := m.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "SELECT windows FROM sales WHERE sale_id = 7 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.Open(ctx, 7, sale.Call{User: 1, Key: "a"}, sale.Opening{})
		done <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := 0; waiting == 0; <-tick.C {
		err := m.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist "+
			"WHERE db = DATABASE() AND info LIKE 'UPDATE sales%'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, stock.ErrUnknown) {
		t.Errorf("given up while it wrote: %v", err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}

	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	another := plan()
	another.ID++
	for name, call := range map[string]func() (sale.Sale, error){
		"show":   func() (sale.Sale, error) { return m.Show(t.Context(), 7) },
		"create": func() (sale.Sale, error) { return m.Create(t.Context(), another) },
		"open": func() (sale.Sale, error) {
			return m.Open(t.Context(), 7, sale.Call{Key: "b"}, sale.Opening{})
		},
		"close":  func() (sale.Sale, error) { return m.Close(t.Context(), 7, sale.Call{}, time.Time{}) },
		"return": func() (sale.Sale, error) { return m.Empty(t.Context(), 7, sale.Call{}) },
	} {
		if _, err := call(); !errors.Is(err, stock.ErrNotApplied) || errors.Is(err, stock.ErrUnknown) {
			t.Errorf("%s without a database: %v", name, err)
		}
	}
}
