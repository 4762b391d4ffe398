package persister

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"sluice/core/db"
)

// TestMigrateTakesOver migrates a database that a program without core/schema made: only the steps that it lacks are
// done, and both look in the same place for how far it is.
func TestMigrateTakesOver(t *testing.T) {
	t.Parallel()
	db := emptyDatabase(t)
	latest := Schema().Version()
	before, err := goose.NewProvider(goose.DialectMySQL, db, Schema().Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{latest - 1, latest} {
		if _, err := before.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		reached, err := Schema().Migrate(t.Context(), db, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || reached.Version != latest {
			t.Fatalf("from %d to %d, %v, want %d", version, reached.Version, err, latest)
		}
		if steps := strings.Count(log.String(), "msg=migrated"); steps != int(latest-version) {
			t.Errorf("from %d on: %d steps were done, want %d:\n%s", version, steps, latest-version, &log)
		}
	}
	if version, err := before.GetDBVersion(t.Context()); err != nil || version != latest {
		t.Errorf("a program of before finds version %d, %v, want %d", version, err, latest)
	}
	if tables := lines(t, db, "SHOW TABLES LIKE '%version%'"); len(tables) != 1 {
		t.Errorf("the version is kept in %q, want one place", tables)
	}
}

// TestMigrateGoesOn migrates where a process was killed in the middle of a step: its tables are there, or
// some of them, and nothing says so.
func TestMigrateGoesOn(t *testing.T) {
	t.Parallel()
	db := database(t)
	for _, statement := range []string{
		"DROP TABLE dead_letters, applied_marks",
		"DROP TABLE sale_items",
		"DELETE FROM goose_db_version WHERE version_id > 0",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Schema().Migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	lines(t, db, "SELECT * FROM dead_letters, applied_marks, sale_items")
	if err := Schema().Check(t.Context(), db); err != nil {
		t.Error(err)
	}
}

// TestMigrateBeginsAnew migrates where a process was killed between making the table of versions and its first row.
func TestMigrateBeginsAnew(t *testing.T) {
	t.Parallel()
	db := database(t)
	if _, err := db.ExecContext(t.Context(), "DELETE FROM goose_db_version"); err != nil {
		t.Fatal(err)
	}
	done, err := Schema().Migrate(t.Context(), db, slog.New(slog.DiscardHandler))
	if err != nil || done.Version != Schema().Version() {
		t.Fatalf("migrated to %d, %v, want %d", done.Version, err, Schema().Version())
	}
	if err := Schema().Check(t.Context(), db); err != nil {
		t.Error(err)
	}
}

// TestMigrateDatesReservations migrates rows that were written before they had a time of their own.
func TestMigrateDatesReservations(t *testing.T) {
	t.Parallel()
	db := database(t)
	rows := rowsOf(newHistory(3, 4).batch(200))
	w := writer{db: db}
	if _, err := w.write(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"ALTER TABLE reservations DROP KEY reservations_user, DROP KEY reservations_cell, DROP COLUMN reserved_ms",
		"DELETE FROM goose_db_version WHERE version_id > 3",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Schema().Migrate(t.Context(), db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	tablesOf(rows).holds(t, db)
}

// TestSchemaRefuses edits rows to what each constraint is there against, one bound after the other.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	mysql := database(t)
	h := newHistory(1, 1)
	w := writer{db: mysql}
	if _, err := w.write(t.Context(), inARow(h, h.cells[0], 2), nil); err != nil { // one with a delta, one with a quantity
		t.Fatal(err)
	}
	for _, statement := range []string{
		"INSERT INTO sales (sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts) " +
			"VALUES (5, '', 10, 20, 0, 1, 'default', FALSE)",
		"INSERT INTO sale_items (sale_id, sku_id, quantity) VALUES (5, 1001, 1)",
		"INSERT INTO registrations VALUES (5, 1)",
		"INSERT INTO pools (pool, warehouse_id) VALUES (6, 2)",
		"INSERT INTO redis_vettings (partition_id, nonce) VALUES (1, 1)",
		"INSERT INTO reconcile_pass (one, sku_id, pool, bucket, so_far) VALUES (1, 0, 0, 0, '')",
		"INSERT INTO checkpoints VALUES (1, 0, 0, 1, 1, 1, 0, 0, REPEAT('x', 20), 0, 1, 1, 1)",
		"INSERT INTO repair_approvals (approval_id, plan, operator_id, approver_id) VALUES ('x', REPEAT('x', 32), 1, 2)",
	} {
		if _, err := mysql.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	untried := map[string]bool{}
	for _, name := range lines(t, mysql, "SELECT constraint_name FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()") {
		untried[name] = true
	}
	f := func(constraint, statement string) {
		t.Helper()
		_, err := mysql.ExecContext(t.Context(), "UPDATE "+statement)
		if db.FailureOf(err) != db.FailureRefused || !strings.Contains(err.Error(), constraint) {
			t.Errorf("%s: %v, want a refusal by %s", statement, err, constraint)
		}
		delete(untried, constraint)
	}
	f("ledger_balances", "ledger SET available_stock = -1")
	f("ledger_balances", "ledger SET reserved_stock = -1")
	f("ledger_balances", "ledger SET sold_stock = -1")
	f("ledger_balances", "ledger SET available_stock = 1, reserved_stock = 2, sold_stock = 1099511627773")
	f("ledger_amount", "ledger SET quantity = 0 WHERE seq = 2")
	f("ledger_amount", "ledger SET quantity = 16777216 WHERE seq = 2")
	f("ledger_amount", "ledger SET delta = 0 WHERE seq = 2")
	f("ledger_amount", "ledger SET quantity = 1 WHERE seq = 1")
	f("ledger_amount", "ledger SET delta = NULL WHERE seq = 1")
	f("ledger_key", "ledger SET sku_id = 0")
	f("ledger_key", "ledger SET epoch = 0")
	f("ledger_key", "ledger SET seq = 0 WHERE seq = 1")
	f("ledger_key", "ledger SET seq = 281474976710656 WHERE seq = 1")
	f("ledger_user", "ledger SET user_id = -1")
	f("ledger_times", "ledger SET deadline_ms = -1")
	f("ledger_times", "ledger SET deadline_ms = 281474976710656")
	f("ledger_times", "ledger SET redis_ms = -1")
	f("ledger_times", "ledger SET redis_ms = 281474976710656")
	f("product_inventories_balances", "product_inventories SET available_stock = -1, total_stock = reserved_stock + sold_stock - 1")
	f("product_inventories_balances", "product_inventories SET reserved_stock = -1, total_stock = available_stock + sold_stock - 1")
	f("product_inventories_balances", "product_inventories SET sold_stock = -1, total_stock = available_stock + reserved_stock - 1")
	f("product_inventories_total", "product_inventories SET total_stock = total_stock + 1")
	f("product_inventories_total", "product_inventories SET total_stock = total_stock - 1")
	f("product_inventories_safe", "product_inventories SET safe_stock = -1")
	f("reservations_quantity", "reservations SET quantity = 0")
	f("checkpoints_balances", "checkpoints SET sold_stock = -1")
	f("checkpoints_position", "checkpoints SET seq = 0")
	f("repair_approvals_admins", "repair_approvals SET approver_id = operator_id")
	f("sales_id", "sales SET sale_id = 0")
	f("sales_times", "sales SET opens_at_ms = -1")
	f("sales_times", "sales SET closes_at_ms = -1")
	f("sales_extend", "sales SET extend_ms = -1")
	f("sales_extend", "sales SET extend_ms = 2592000001")
	f("sales_registered", "sales SET registered = 1")
	f("sales_registered", "sales SET registered_only = TRUE, registered = -1")
	f("registrations_user", "registrations SET user_id = 0")
	f("pools_normal", "pools SET warehouse_id = 1 WHERE pool = 0")
	f("pools_normal", "pools SET pool = 0, warehouse_id = 1 WHERE pool = 6")
	f("pools_number", "pools SET sale_id = 5 WHERE pool = 6")
	f("sales_hold", "sales SET hold_ms = 0")
	f("sales_hold", "sales SET hold_ms = 2592000001")
	f("redis_vettings_nonce", "redis_vettings SET nonce = 0")
	f("ledger_identity_one", "ledger_identity SET one = 2")
	f("reconcile_lease_one", "reconcile_lease SET one = 2")
	f("reconcile_pass_one", "reconcile_pass SET one = 2")
	f("sale_items_sku", "sale_items SET sku_id = 0")
	f("sale_items_quantity", "sale_items SET quantity = 0")
	if len(untried) > 0 {
		t.Errorf("nothing is refused by %v", slices.Collect(maps.Keys(untried)))
	}
}
