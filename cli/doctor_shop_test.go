package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestDoctorKnowsTheShop: doctor looks at the databases of the shop, at what the account may do in each, and at the keys.
func TestDoctorKnowsTheShop(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	d.run("doctor").want(command.ExitDone).lacks("shop")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	dsns := map[string]string{"east": servicetest.MariaDB(t), "west": servicetest.MariaDB(t)}
	writeShards(t, path("shards.json"), dsns)
	file := "--shards-file=" + path("shards.json")
	doctor := func(more ...string) result {
		t.Helper()
		return d.run(append([]string{"doctor", file}, more...)...)
	}
	doctor().want(command.ExitFailed, "ok   shop database east: version", "run sluice catalog migrate")
	d.run("catalog", "migrate", file).want(command.ExitDone)
	d.run("catalog", "keys", "create", "--signing-keys-file="+path("signing.json"), "--account-secret-file="+path("secret")).want(command.ExitDone)
	d.run("catalog", "vault", "keygen", "--out="+path("vault.json")).want(command.ExitDone)
	keys := []string{"--signing-keys-file=" + path("signing.json"), "--account-secret-file=" + path("secret"), "--vault-key-file=" + path("vault.json")}

	user := fmt.Sprintf("doctor%d", rand.Uint32())
	var revoke func()
	for name, dsn := range dsns {
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		granted := d.run("catalog", "grants", file, "--database="+name, "--user="+user).want(command.ExitDone)
		root, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 1, Timeout: d.mysql.Timeout}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = root.Close() })
		exec := func(statement string) {
			t.Helper()
			if _, err := root.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		exec("CREATE USER IF NOT EXISTS '" + user + "'@'%'")
		for statement := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(granted.out), ";"), ";\n") {
			exec(statement)
		}
		if name == "west" {
			revoke = func() { exec("REVOKE DELETE ON `" + c.DBName + "`.`challenges_4` FROM '" + user + "'@'%'") }
		}
		c.User = user
		dsns[name] = c.FormatDSN()
	}
	writeShards(t, path("shards.json"), dsns)
	const may = "its account may do with the tables what the shop does"
	doctor(keys...).want(command.ExitDone, "ok   shop database east: "+may, "ok   shop database west: "+may, "ok   shop signing keys", "ok   shop secret", "ok   shop vault")
	d.run("catalog", "vault", "keygen", "--out="+path("other.json")).want(command.ExitDone)
	doctor(keys[0], keys[1], "--vault-key-file="+path("other.json")).want(command.ExitDone, "ok   shop vault") // the shop has not started: doctor made no file the one
	d.run(append([]string{"doctor"}, keys...)...).want(command.ExitDone, "warn shop databases: not looked at")
	doctor().want(command.ExitDone, "warn shop signing keys: no file given", "warn shop secret: no file given", "warn shop vault: no file given")
	revoke()
	doctor(keys...).want(command.ExitFailed, "fail shop database west: its account may not do 1 things that the shop does, such as DELETE challenges_4", "ok   shop database east: "+may)
	if err := os.WriteFile(path("secret"), []byte("no secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	doctor(keys...).want(command.ExitFailed, "fail shop secret: ", "it is not the secret of a shop")
}
