package sale_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/core/local/servicetest"
	"sluice/core/sale"
	"sluice/core/stock"
)

// TestRefusedByMySQLIsNotApplied changes sales while MySQL takes no writes: nothing was done, and the caller is told
// so, rather than that nobody knows.
func TestRefusedByMySQLIsNotApplied(t *testing.T) {
	t.Parallel()
	mariadb := servicetest.PrivateMariaDB(t)
	if err := mariadb.CreateDatabase(t.Context(), "sluice"); err != nil {
		t.Fatal(err)
	}
	root := openDatabase(t, mariadb.DSN("sluice"))
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
	for _, table := range []string{"sales", "sale_items", "sale_keys"} {
		exec("GRANT SELECT, INSERT, UPDATE ON sluice." + table + " TO edge")
	}
	desk := sale.NewDesk(m.store, openDatabase(t, strings.Replace(mariadb.DSN("sluice"), "root@", "edge@", 1)), retention)
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
