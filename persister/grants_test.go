package persister

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/archive"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/schema"
)

// TestGrants does each role's work with its account, and what it must not do.
func TestGrants(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	root := openDatabase(t, dsn)
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	as := func(role schema.Role) string {
		t.Helper()
		user := fmt.Sprintf("%s%d", role, rand.Uint32())
		statements, err := schema.Owners{Schema()}.Statements(role, c.DBName, user, "%")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.ExecContext(t.Context(), "CREATE USER '"+user+"'@'%'"); err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if _, err := root.ExecContext(t.Context(), s); err != nil {
				t.Fatal(s, err)
			}
		}
		other := c.Clone()
		other.User = user
		return other.FormatDSN()
	}
	if _, err := Schema().Migrate(t.Context(), openDatabase(t, as(schema.RoleMigrate)), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}

	own := openDatabase(t, as(schema.RolePersister))
	a := newApplier(own, newTestMeters(), slog.New(slog.DiscardHandler))
	rows := rowsOf(newHistory(1, 2).batch(20))
	fork := *rows[0]
	fork.User++
	for range 2 {
		if err := a.apply(t.Context(), append(rows, &fork), nil); err != nil {
			t.Fatal(err)
		}
	}
	tablesOf(rows).holds(t, own)
	m := newMarker(own, newTestMeters(), slog.New(slog.DiscardHandler))
	if err := m.round(t.Context()); err != nil { // a survey: nothing was touched
		t.Error(err)
	}
	resolve := "UPDATE dead_letters SET resolved_at = NOW(3)"
	if _, err := root.ExecContext(t.Context(), resolve); err != nil {
		t.Fatal(err)
	}
	if err := m.round(t.Context()); err != nil {
		t.Error(err)
	}
	m.surveyed = time.Time{}
	if err := m.round(t.Context()); err != nil {
		t.Error(err)
	}
	done, err := archive.Run(t.Context(), archive.Config{
		DB: openDatabase(t, as(schema.RoleArchive)), Dir: t.TempDir(), Deployment: "d", Before: time.Now(), Share: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || done.Events != int64(len(rows)) {
		t.Errorf("an archiver has %+v of %d events (%v)", done, len(rows), err)
	}
	mender := &mender{writer: writer{db: own}, log: slog.New(slog.DiscardHandler)}
	if _, err := mender.round(t.Context()); err != nil {
		t.Error(err)
	}
	if err := Schema().Check(t.Context(), own); err != nil {
		t.Error(err)
	}

	for _, can := range []struct {
		role        schema.Role
		may, mayNot []string // in this order
	}{
		{
			role: schema.RolePersister,
			may: []string{
				"DO (SELECT identity FROM ledger_identity)",
				"DO (SELECT COUNT(*) FROM checkpoints, archived_buyers)", // a comparison reads both
				"UPDATE redis_vettings SET effects = GREATEST(effects, 7) WHERE partition_id = 0 AND nonce = 1",
			},
			mayNot: []string{
				"UPDATE redis_vettings SET nonce = 1",
				"UPDATE ledger_identity SET deployment = 'x'",
				"UPDATE repairs SET operator = 'me'",
				"DELETE FROM ledger",
				"DELETE FROM dead_letters",
				"DO (SELECT COUNT(*) FROM sales)",
				"DO (SELECT COUNT(*) FROM sale_items)",
				"ALTER TABLE ledger DROP COLUMN delta",
				"UPDATE reconcile_runs SET verdict = 'clean'",
				"UPDATE reconcile_pass SET begun_at = NOW(3)",
			},
		},
		{
			role: schema.RoleEdge,
			may: []string{
				"INSERT INTO sales (sale_id, name, opens_at_ms, closes_at_ms, limit_per_user, hold_ms, acknowledge, shopper_deducts) " +
					"VALUES (1, '', 0, 0, 0, 1, 'default', 0)",
				"INSERT INTO sale_items (sale_id, sku_id, quantity) VALUES (1, 1, 1)",
				"INSERT INTO sale_keys (sale_id, operation, user_id, idempotency_key, fingerprint) VALUES (1, 'open', 1, 'k', 1) " +
					"ON DUPLICATE KEY UPDATE sale_id = sale_id",
				"UPDATE sales SET name = 'x'",
				"DO (SELECT COUNT(*) FROM ledger)",
				"DO (SELECT COUNT(*) FROM product_inventories)",
				"DO (SELECT COUNT(*) FROM reservations)",
				"DO (SELECT identity FROM ledger_identity)",
				"UPDATE ledger_identity SET deployment = 'x'",
				"DO (SELECT COUNT(*) FROM dead_letters)",
				"UPDATE dead_letters SET resolved_at = NOW(3), resolved_by = 'me', resolution = 'x', replay_asked_at = NULL",
				"UPDATE dead_letters SET replay_asked_at = NOW(3), replay_asked_by = 'me', replay_reason = 'x', replay_refusal = NULL",
			},
			mayNot: []string{
				"UPDATE ledger_identity SET identity = 'x'",
				"UPDATE product_inventories SET safe_stock = 1",
				"UPDATE ledger SET delta = 1",
				"DELETE FROM sales",
				"DO (SELECT COUNT(*) FROM reconcile_runs)",
				"UPDATE reservations SET state = 'held'",
				"UPDATE dead_letters SET data = ''",
				"DELETE FROM dead_letters",
			},
		},
		{
			role: schema.RoleOperator,
			may: []string{
				"DO (SELECT COUNT(*) FROM ledger)",
				"DO (SELECT COUNT(*) FROM reconcile_runs, reconcile_findings)",
				"UPDATE sales SET name = 'y'",
				"INSERT INTO repairs (step_id, round, plan, operator, reason, type, repair, sku_id, pool, bucket, units, direction, expects, does, act, by_persister) " +
					"VALUES (REPEAT('x', 32), 1, '', 'me', 'why', '', '', 1, 0, 0, 1, '', '', '', '{}', TRUE)",
				"UPDATE repairs SET claimed_at = NOW(3), operator = 'me', reason = 'why'",
				"UPDATE repairs SET ended_at = NOW(3), outcome = 'done', said = '', event_epoch = 1, event_seq = 1",
				"INSERT INTO repair_approvals (approval_id, plan, operator_id, approver_id) VALUES ('x', REPEAT('x', 32), 1, 2)",
				"UPDATE dead_letters SET resolved_at = NOW(3), resolved_by = 'me', resolution = 'x', replay_asked_at = NULL",
			},
			mayNot: []string{
				"UPDATE ledger SET delta = 1",
				"UPDATE repair_approvals SET approval_id = 'y'",
				"DELETE FROM repair_approvals",
				"DELETE FROM reconcile_findings",
				"UPDATE product_inventories SET sold_stock = 0",
				"UPDATE repairs SET act = ''",
				"DELETE FROM repairs",
				"DELETE FROM dead_letters",
			},
		},
		{
			role: schema.RoleArchive,
			mayNot: []string{
				"UPDATE ledger SET delta = 1",
				"INSERT INTO ledger (sku_id) VALUES (1)",
				"DELETE FROM checkpoints",
				"DELETE FROM archive_files",
				"DELETE FROM dead_letters",
				"UPDATE product_inventories SET sold_stock = 0",
			},
		},
		{
			role:   schema.RoleShop,
			may:    []string{"UPDATE product_inventories SET safe_stock = 5, warehouse_id = 2"},
			mayNot: []string{"UPDATE product_inventories SET sold_stock = 0"},
		},
	} {
		database := openDatabase(t, as(can.role))
		for _, statement := range can.may {
			if _, err := database.ExecContext(t.Context(), statement); err != nil {
				t.Errorf("%s may not: %s: %v", can.role, statement, err)
			}
		}
		for _, statement := range can.mayNot {
			_, err := database.ExecContext(t.Context(), statement)
			if answer := db.Answer(err); answer != db.AnswerTableDenied && answer != db.AnswerColumnDenied {
				t.Errorf("%s is not denied: %s: %v", can.role, statement, err)
			}
		}
	}
}
