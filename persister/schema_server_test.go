package persister

import (
	"database/sql"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// schemaText is all that is known of a schema which must not depend on a server's settings.
func schemaText(t *testing.T, database *sql.DB) []string {
	t.Helper()
	var all []string
	for _, statement := range []string{
		"SELECT CONCAT(table_name, ' ', engine) FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
		`SELECT CONCAT_WS(' ', table_name, column_name, column_type, is_nullable, character_set_name) FROM information_schema.columns
			WHERE table_schema = DATABASE() ORDER BY 1`,
		"SELECT CONCAT_WS(' ', table_name, constraint_name, check_clause) FROM information_schema.check_constraints WHERE constraint_schema = DATABASE() ORDER BY 1",
		`SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique) FROM information_schema.statistics
			WHERE table_schema = DATABASE() ORDER BY 1`,
		"SELECT CONCAT_WS(' ', table_name, referenced_table_name) FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE() ORDER BY 1",
	} {
		all = append(all, lines(t, database, statement)...)
	}
	return all
}

// migrateAs migrates an empty database as a user, and gives the database as root sees it.
func migrateAs(t *testing.T, m *local.MariaDB, name, user string) (*sql.DB, error) {
	t.Helper()
	root := openDatabase(t, m.DSN(name))
	database, err := db.Config{DSN: config.Secret(strings.Replace(m.DSN(name), "root@", user+"@", 1)), ConnsMax: 2, Timeout: 5 * time.Second}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	_, err = Schema().Migrate(t.Context(), database, slog.New(slog.DiscardHandler))
	return root, err
}

// TestMigrateWorksWhateverTheDefaults migrates on servers and in databases whose defaults are others than sluice's:
// the schema is the same.
func TestMigrateWorksWhateverTheDefaults(t *testing.T) {
	t.Parallel()
	want := schemaText(t, database(t))
	m := servicetest.PrivateMariaDB(t)
	servers := [][]string{
		{"default_storage_engine = 'MyISAM'"},
		{"default_storage_engine = 'Aria'"},
		{"innodb_strict_mode = 0"},
		{"sql_mode = 'ANSI_QUOTES'"},
		{"sql_mode = 'NO_BACKSLASH_ESCAPES'"},
		{"binlog_format = 'STATEMENT'"}, // there is no binlog
		{"enforce_storage_engine = 'InnoDB'"},
		{"max_allowed_packet = 16384"},
	}
	for i, settings := range servers {
		if err := m.SetGlobal(t.Context(), settings...); err != nil {
			t.Fatal(err)
		}
		name := "s" + string(rune('a'+i))
		for _, charset := range []string{"latin1", "utf8mb3", "utf8mb4"} {
			execRoot(t, m, "CREATE DATABASE "+name+charset+" CHARACTER SET "+charset)
			root, err := migrateAs(t, m, name+charset, "root")
			if err != nil {
				t.Errorf("%v, %s: %v", settings, charset, err)
				continue
			}
			if diff := cmp.Diff(want, schemaText(t, root)); diff != "" {
				t.Errorf("%v, %s: the schema is another one:\n%s", settings, charset, diff)
			}
		}
	}
}

// TestMigrateOfLowerCaseNames migrates on a server that keeps names in lower case only.
func TestMigrateOfLowerCaseNames(t *testing.T) {
	t.Parallel()
	want := schemaText(t, database(t))
	m, err := local.StartMariaDB(t.Context(), t.TempDir(), "lower-case-table-names = 1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop() })
	execRoot(t, m, "CREATE DATABASE Shop")
	for range 2 {
		root, err := migrateAs(t, m, "Shop", "root")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, schemaText(t, root)); diff != "" {
			t.Errorf("the schema is another one:\n%s", diff)
		}
	}
}

// TestMigrateRefusesBeforeItBegins migrates where it would stop on its way: it says which setting or right is to
// change, and leaves nothing.
func TestMigrateRefusesBeforeItBegins(t *testing.T) {
	t.Parallel()
	servicetest.MariaDB(t) // so that the test is skipped where servers are missing
	m, err := local.StartMariaDB(t.Context(), t.TempDir(), "log-bin", "server-id = 1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Stop() })
	execRoot(t, m, "CREATE DATABASE shop", "CREATE USER full, sole", "GRANT ALL ON shop.* TO full")
	refused := func(user, want string) {
		t.Helper()
		root, err := migrateAs(t, m, "shop", user)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a refusal that names it", want, err)
		}
		if left := lines(t, root, "SHOW TABLES"); len(left) > 0 {
			t.Errorf("%s: %q are left", want, left)
			execRoot(t, m, "DROP DATABASE shop", "CREATE DATABASE shop")
		}
	}
	for setting, usual := range map[string]string{
		"binlog_format = 'STATEMENT'":       "binlog_format = 'MIXED'",
		"enforce_storage_engine = 'MyISAM'": "enforce_storage_engine = NULL",
		"max_allowed_packet = 1024":         "max_allowed_packet = 16777216",
		"max_allowed_packet = 4096":         "max_allowed_packet = 16777216",
		"read_only = 1":                     "read_only = 0",
	} {
		if err := m.SetGlobal(t.Context(), setting); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(setting, " ")
		if strings.HasSuffix(setting, "1024") {
			if _, err := migrateAs(t, m, "shop", "full"); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v, want a refusal that names it", setting, err)
			}
		} else {
			refused("full", name)
		}
		if err := m.SetGlobal(t.Context(), usual); err != nil {
			t.Fatal(err)
		}
	}
	const all = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES"
	for _, right := range strings.Split(all, ", ") {
		execRoot(t, m, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM sole",
			"GRANT "+strings.Replace(strings.Replace(all, right+", ", "", 1), ", "+right, "", 1)+" ON shop.* TO sole")
		if right != "INDEX" && right != "REFERENCES" { // MariaDB asks for neither
			refused("sole", right+" command denied")
			continue
		}
		if _, err := migrateAs(t, m, "shop", "sole"); err != nil {
			t.Errorf("without the right to %s, which is not needed: %v", right, err)
		}
		execRoot(t, m, "DROP DATABASE shop", "CREATE DATABASE shop")
	}
	execRoot(t, m, "GRANT "+all+" ON shop.* TO sole")
	if _, err := migrateAs(t, m, "shop", "sole"); err != nil {
		t.Errorf("with all rights: %v", err)
	}
	execRoot(t, m, "REVOKE CREATE, DROP, ALTER ON shop.* FROM sole")
	if _, err := migrateAs(t, m, "shop", "sole"); err != nil {
		t.Errorf("where nothing is to be done: %v", err)
	}
}

// execRoot runs statements as root.
func execRoot(t *testing.T, m *local.MariaDB, statements ...string) {
	t.Helper()
	root, err := sql.Open("mysql", m.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, statement := range statements {
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
