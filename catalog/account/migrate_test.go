package account_test

import (
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sluice/catalog/account"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

// Who registered before there were identities has one, and a registration that was given up stays so.
func TestIdentitiesOfUsersWhoAreThere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := must(place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	}))(t)
	t.Cleanup(func() { _ = d.Close() })
	all := account.Schema()
	before := all
	first := fstest.MapFS{}
	for _, name := range []string{"00001_users.sql", "00002_books.sql", "00003_signin.sql"} {
		first[name] = &fstest.MapFile{Data: must(fs.ReadFile(all.Files, name))(t)}
	}
	before.Files = first
	if err := d.Migrate(ctx, place.Owners{before}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	p := d.All(shard.Users)[0]
	for _, statement := range []string{
		"INSERT INTO emails__ VALUES (REPEAT('m', 32), 1, TRUE, NOW(3)), (REPEAT('p', 32), 3, FALSE, NOW(3))",
		"INSERT INTO users__ (user_id, state, region, locale) VALUES (1, 'active', 'eu', 'de')",
		"INSERT INTO credentials__ VALUES (1, REPEAT('m', 32), CONCAT(X'01', 'sealed'), 'hash', NOW(3)), (2, NULL, NULL, NULL, NOW(3))",
	} {
		if _, err := p.In(p.Writer()).ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Migrate(ctx, place.Owners{all}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		"SELECT COUNT(*) FROM claims__ WHERE value_index = REPEAT('m', 32) AND user_id = 1 AND final":                                                                      1,
		"SELECT COUNT(*) FROM claims__ WHERE value_index = REPEAT('p', 32) AND user_id = 3 AND NOT final":                                                                  1,
		"SELECT COUNT(*) FROM identities__ i JOIN claims__ c USING (user_id, claim, value_index) WHERE kind = 'email' AND value = CONCAT(X'01', 'sealed') AND user_id = 1": 1,
		"SELECT COUNT(*) FROM identities__ WHERE kind IS NULL AND value_index IS NULL AND user_id = 2":                                                                     1,
		"SELECT COUNT(*) FROM credentials__ WHERE user_id = 1 AND password = 'hash'":                                                                                       1,
		"SELECT COUNT(*) FROM credentials__": 1,
	} {
		var n int
		if err := p.In(p.Writer()).QueryRowContext(ctx, query).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", query, n, err, want)
		}
	}
}

// What is sealed under the secret of accounts does not open, so a shop that has some is not migrated, nor can a program of before write
// more.
func TestOldSealsAreRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := must(place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	}))(t)
	t.Cleanup(func() { _ = d.Close() })
	all := account.Schema()
	before := all
	older := fstest.MapFS{}
	for _, file := range must(fs.ReadDir(all.Files, "."))(t) {
		if file.Name() < "00010" {
			older[file.Name()] = &fstest.MapFile{Data: must(fs.ReadFile(all.Files, file.Name()))(t)}
		}
	}
	before.Files = older
	if err := d.Migrate(ctx, place.Owners{before}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	p := d.All(shard.Users)[0]
	do := func(statement string) error {
		_, err := p.In(p.Writer()).ExecContext(ctx, statement)
		return err
	}
	old := []struct{ table, row string }{ // in the order in which they are looked at
		{"identities", "INSERT INTO identities__ (user_id, claim, kind, value_index, value, made_at) VALUES (1, 1, 'email', REPEAT('m', 32), 'sealed', NOW(3))"},
		{"factors", "INSERT INTO factors__ (user_id, secret, codes, made_by, made_at) VALUES (1, 'sealed', REPEAT('c', 16), REPEAT('b', 32), NOW(3))"},
		{"sign_ins", "INSERT INTO sign_ins__ (user_id, id, made_at, outcome, origin) VALUES (1, 1, NOW(3), 'signed_in', 'sealed')"},
	}
	for _, of := range old {
		if err := do(of.row); err != nil {
			t.Fatal(err)
		}
		if err := d.Migrate(ctx, place.Owners{all}, place.Quiet); err == nil || !strings.Contains(err.Error(), of.table+"_sealed") {
			t.Errorf("with old %s: %v", of.table, err)
		}
		if err := do("DELETE FROM " + of.table + "__"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Migrate(ctx, place.Owners{all}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	for _, of := range old {
		if err := do(of.row); err == nil {
			t.Errorf("%s takes a row of a program of before", of.table)
		}
	}
}
