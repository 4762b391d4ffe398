package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"sluice/catalog"
	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestShopOfTwoDatabases migrates both by the file, and gives accounts what the shop needs in each.
func TestShopOfTwoDatabases(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	dsns := map[string]string{"east": servicetest.MariaDB(t), "west": servicetest.MariaDB(t)}
	shards := filepath.Join(t.TempDir(), "shards.json")
	writeShards(t, shards, dsns)
	file := "--shards-file=" + shards
	accounts, err := catalog.Schemas().Named("account")
	if err != nil {
		t.Fatal(err)
	}
	ofAccount := fmt.Sprintf(" has schema version %d of account", accounts[0].Version())
	d.run("catalog", "migrate", file).want(command.ExitDone,
		"east has schema version 1 of place", "east_3"+ofAccount, "west_4"+ofAccount,
		"new in east_3: account_key_proofs_3, account_keys_3, account_outbox_3, ", "users_3: give the accounts again what sluice catalog grants prints")
	d.run("catalog", "migrate", file, "--owner=account").want(command.ExitDone, "west_4"+ofAccount).lacks("of place")
	d.run("catalog", "grants", file).want(command.ExitUsage, `database "sluice": want one of the shards file: east, west`)

	user := fmt.Sprintf("shop%d", rand.Uint32())
	for name, dsn := range dsns {
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		granted := d.run("catalog", "grants", file, "--database="+name, "--user="+user)
		granted.want(command.ExitDone, "`"+c.DBName+"`.`database_beats`", map[string]string{"east": "`.`users_3`", "west": "`.`users_4`"}[name])
		root, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 1, Timeout: d.mysql.Timeout}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		statements := strings.Split(strings.TrimSuffix(strings.TrimSpace(granted.out), ";"), ";\n")
		for _, statement := range append([]string{"CREATE USER IF NOT EXISTS '" + user + "'@'%'"}, statements...) {
			if _, err := root.ExecContext(t.Context(), statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
		c.User = user
		dsns[name] = c.FormatDSN()
	}
	writeShards(t, shards, dsns)
	if err := os.Chmod(filepath.Join(filepath.Dir(shards), "west.dsn"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run("catalog", "migrate", file).want(command.ExitFailed, "west.dsn is open to everybody", "denied")
}

// writeShards writes a file of shards for the databases east and west, and the files of their DSNs beside it.
func writeShards(t *testing.T, path string, dsns map[string]string) {
	t.Helper()
	const all = `[{"first": 0, "last": 1023, "database": "west"}]`
	files := map[string]string{path: `{
  "databases": [{"name": "east", "dsn_file": "east.dsn"}, {"name": "west", "dsn_file": "west.dsn"}],
  "users": [{"first": 0, "last": 511, "database": "east", "table": 3}, {"first": 512, "last": 1023, "database": "west", "table": 4}],
  "products": ` + all + `, "values": ` + all + `, "checkouts": [{"from": "2024-01", "shards": ` + all + `}]
}`}
	for name, dsn := range dsns {
		files[filepath.Join(filepath.Dir(path), name+".dsn")] = dsn
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
