package db_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

func TestOpen(t *testing.T) {
	t.Parallel()
	m := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 2, Timeout: time.Minute}
	db, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })

	// A server that could forget commits is refused.
	if _, err := db.ExecContext(t.Context(), "SET GLOBAL innodb_flush_log_at_trx_commit = 2"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := db.ExecContext(t.Context(), "SET GLOBAL innodb_flush_log_at_trx_commit = 1"); err != nil {
			t.Error(err)
		}
	}()
	if _, err := m.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "innodb_flush_log_at_trx_commit is 2") {
		t.Errorf("a server that flushes later: %v", err)
	}
}

// TestFaults changes a server's settings one after the other.
func TestFaults(t *testing.T) {
	t.Parallel()
	server, dsn := servicetest.PrivateDatabase(t)
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	for _, c := range []struct{ setting, value, want string }{
		{"innodb_flush_log_at_trx_commit", "0", db.FaultDurability},
		{"innodb_flush_log_at_trx_commit", "2", db.FaultDurability},
		{"sync_binlog", "0", ""}, // of a log that the server does not keep
		{"read_only", "1", "read_only"},
		{"max_allowed_packet", "2097152", ""},
		{"max_allowed_packet", "2096128", "packet"},
	} {
		before := variable(t, pool, "GLOBAL", c.setting)
		if err := server.SetGlobal(t.Context(), c.setting+" = "+c.value); err != nil {
			t.Fatal(err)
		}
		faults, err := db.Faults(t.Context(), pool)
		var words []string
		for _, f := range faults {
			words = append(words, f.Word)
		}
		if got := strings.Join(words, " "); err != nil || got != c.want {
			t.Errorf("%s = %s: faults %q, want %q, error %v", c.setting, c.value, got, c.want, err)
		}
		if err := server.SetGlobal(t.Context(), c.setting+" = "+before); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSession opens a database of a server, and by a DSN, with the opposites of all settings that sluice
// needs. The connection that replaces a lost one is looked at too.
func TestSession(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	m := db.Config{
		DSN:      config.Secret(dsn + "?charset=latin1&collation=latin1_bin&sql_mode=''&time_zone='%2B05:00'&autocommit=0&sql_select_limit=5"),
		ConnsMax: 1, Timeout: 5 * time.Second,
	}
	db, err := m.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	look := func() (id string) {
		t.Helper()
		for name, want := range map[string]string{
			"autocommit": "ON", "completion_type": "NO_CHAIN", "tx_isolation": "READ-COMMITTED", "tx_read_only": "OFF",
			"sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION", "time_zone": "+00:00",
			"character_set_client": "utf8mb4", "character_set_connection": "utf8mb4", "character_set_results": "utf8mb4",
			"collation_connection": "utf8mb4_general_ci", "default_storage_engine": "InnoDB", "check_constraint_checks": "ON",
			"foreign_key_checks": "ON", "unique_checks": "ON", "sql_auto_is_null": "OFF", "sql_safe_updates": "OFF",
			"sql_select_limit": "18446744073709551615", "sql_big_selects": "ON", "innodb_lock_wait_timeout": "4",
			"lock_wait_timeout": "4", "max_statement_time": "0.000000", "net_read_timeout": "30", "net_write_timeout": "60", "wait_timeout": "600",
			"idle_transaction_timeout": "0", "idle_readonly_transaction_timeout": "0", "idle_write_transaction_timeout": "0",
		} {
			if got := variable(t, db, "SESSION", name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
			charset := strings.HasPrefix(name, "char") || strings.HasPrefix(name, "coll") // it is the DSN's
			if got := variable(t, db, "GLOBAL", name); got == want && !charset {
				t.Errorf("%s is %s by default: the test shows nothing", name, got)
			}
		}
		if err := db.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := look()
	kill(t, dsn, first)
	if second := look(); second == first {
		t.Error("the connection was not lost")
	}
}

// kill ends a connection, and waits until the server has closed it.
func kill(t *testing.T, dsn, id string) {
	t.Helper()
	other, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "KILL "+id); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		err := other.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ?", id).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func variable(t *testing.T, db *sql.DB, scope, name string) string {
	t.Helper()
	var value string
	if err := db.QueryRowContext(t.Context(), "SHOW "+scope+" VARIABLES WHERE Variable_name = ?", name).Scan(&name, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// overLink opens a database through a link that a test can cut or stall.
func overLink(t *testing.T) (pool *sql.DB, link *servicetest.Link) {
	t.Helper()
	options, err := mysql.ParseDSN(servicetest.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	link = servicetest.NewLink(t, options.Addr)
	options.Addr = link.Addr
	pool, err = db.Config{DSN: config.Secret(options.FormatDSN()), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool, link
}

// TestCloseAfterLoss closes a database whose idle connections the server has dropped: the caller is done with it, so
// this is no error.
func TestCloseAfterLoss(t *testing.T) {
	t.Parallel()
	pool, link := overLink(t)
	if err := pool.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	link.Cut()
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
}
