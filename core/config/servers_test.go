package config_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/deploy/local/servicetest"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

func TestMySQLOpen(t *testing.T) {
	t.Parallel()
	m := config.MySQL{DSN: config.Secret(servicetest.MariaDB(t) + "?sql_mode=''&time_zone='%2B05:00'"), ConnsMax: 2, Timeout: time.Minute}
	db, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for name, want := range map[string]string{
		"tx_isolation": "READ-COMMITTED", "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION", "time_zone": "+00:00",
	} {
		if got := variable(t, db, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}

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

func variable(t *testing.T, db *sql.DB, name string) string {
	t.Helper()
	var value string
	if err := db.QueryRowContext(t.Context(), "SHOW SESSION VARIABLES WHERE Variable_name = ?", name).Scan(&name, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestRedisClient(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	server := servicetest.Redis(t)
	admin, err := (&config.Redis{Addrs: []string{server.Addr}}).Client()
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.Do(t.Context(), admin.B().AclSetuser().Username("shop").Rule("on", ">"+password, "+@all", "~*").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*config.Redis{
		"from the environment": {Addrs: []string{server.Addr}, User: "shop", Password: password},
		"from a file":          {Addrs: []string{server.Addr}, User: "shop", PasswordFile: file},
	} {
		client, err := r.Client()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		who, err := client.Do(t.Context(), client.B().AclWhoami().Build()).ToString()
		if err != nil || who != "shop" {
			t.Errorf("%s: connected as %q, %v", name, who, err)
		}
		client.Close()
	}
	_, err = (&config.Redis{Addrs: []string{server.Addr}, User: "shop", Password: password + "x"}).Client()
	if err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("a wrong password: %v", err)
	}
}
