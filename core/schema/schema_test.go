package schema

import (
	"database/sql"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

var discard = slog.New(slog.DiscardHandler)

// ownerOf makes an owner with a migration of each name, which makes a table.
func ownerOf(name string, files ...string) Owner {
	migrations := fstest.MapFS{}
	for _, file := range files {
		table := name + "_" + strings.TrimSuffix(file, ".sql")
		migrations[file] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE " + table + " (id BIGINT PRIMARY KEY);\n")}
	}
	return Owner{Name: name, Files: migrations, Table: name + "_schema_version"}
}

func open(t *testing.T, dsn string, timeout time.Duration) *sql.DB {
	t.Helper()
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: timeout}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// TestOwnersInOneDatabase has two owners move on without each other, and three processes migrate each at once.
func TestOwnersInOneDatabase(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	pool := open(t, dsn, time.Minute)
	price, cart := ownerOf("price", "00001_lists.sql", "00002_markets.sql"), ownerOf("cart", "00001_carts.sql", "00007_lines.sql")
	isOld := func(o Owner, want bool) {
		t.Helper()
		if err := o.Check(t.Context(), pool); (err != nil) != want || want && !strings.Contains(err.Error(), "sluice migrate") {
			t.Errorf("%s is checked with %v, want an error that names sluice migrate: %v", o.Name, err, want)
		}
	}
	migrate := func(o Owner, want int64) {
		t.Helper()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if version, err := o.Migrate(t.Context(), open(t, dsn, time.Minute), discard); err != nil || version != want {
					t.Errorf("migrated %s to %d, %v, want %d", o.Name, version, err, want)
				}
			})
		}
		all.Wait()
	}
	isOld(price, true)
	migrate(price, 2)
	isOld(price, false)
	isOld(cart, true)
	migrate(cart, 7) // 7 is the number of its second step
	isOld(cart, false)

	newer := ownerOf("price", "00001_lists.sql", "00002_markets.sql", "00003_quotes.sql")
	isOld(newer, true)
	isOld(cart, false)
	migrate(newer, 3)
	isOld(newer, false)
	isOld(price, false) // an older program works on
	var tables int
	if err := pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()").Scan(&tables); err != nil || tables != 7 {
		t.Errorf("%d tables, %v, want five and one version for each owner", tables, err)
	}
}

// TestMigrateNamesTheOwner lets a step fail.
func TestMigrateNamesTheOwner(t *testing.T) {
	t.Parallel()
	pool := open(t, servicetest.MariaDB(t), time.Minute)
	cart := ownerOf("cart", "00001_carts.sql")
	if _, err := pool.ExecContext(t.Context(), "CREATE TABLE cart_00001_carts (id BIGINT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := cart.Migrate(t.Context(), pool, discard); err == nil || !strings.Contains(err.Error(), "migrate cart") || !strings.Contains(err.Error(), "version:1") {
		t.Errorf("%v, want an error that names the owner and the step", err)
	}
}

// TestVersion: steps may be left out, and what is no step does not count.
func TestVersion(t *testing.T) {
	t.Parallel()
	for want, files := range map[int64][]string{0: nil, 3: {"00001_a.sql", "00003_b.sql"}, 20260102: {"20260102_a.sql", "notes.sql", "9_b.sql"}} {
		if got := ownerOf("any", files...).Version(); got != want {
			t.Errorf("%v is version %d, want %d", files, got, want)
		}
	}
}

// TestMigrateWaitsForAnother lets the other one take longer than connections may be silent.
func TestMigrateWaitsForAnother(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	other, err := open(t, dsn, time.Minute).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lock := func(statement string) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), statement, migrationLock); err != nil {
			t.Fatal(err)
		}
	}
	lock("DO GET_LOCK(?, 60)")
	pool := open(t, dsn, 3*time.Second)
	migrated := make(chan error, 1)
	go func() {
		_, err := ownerOf("cart", "00001_carts.sql").Migrate(t.Context(), pool, discard)
		migrated <- err
	}()
	select {
	case err := <-migrated:
		t.Errorf("did not wait: %v", err)
	case <-time.After(4 * time.Second):
		lock("DO RELEASE_LOCK(?)")
		if err := <-migrated; err != nil {
			t.Error(err)
		}
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	all := Owners{ownerOf("price"), ownerOf("cart")}
	if some, err := all.Named(""); err != nil || len(some) != 2 {
		t.Errorf("no name is %d owners, %v", len(some), err)
	}
	if some, err := all.Named("cart"); err != nil || len(some) != 1 || some[0].Name != "cart" {
		t.Errorf("cart is %v, %v", some, err)
	}
	if _, err := all.Named("card"); err == nil || !strings.Contains(err.Error(), "price, cart") {
		t.Errorf("an unknown name: %v, want the known ones", err)
	}
}

func TestStatements(t *testing.T) {
	t.Parallel()
	price, cart := ownerOf("price"), ownerOf("cart")
	price.Grants = []Grant{{RoleEdge, "SELECT", "lists"}, {RoleShop, "SELECT, INSERT", "lists"}}
	cart.Grants = []Grant{{RoleShop, "SELECT", "carts"}}
	all := Owners{price, cart}
	for role, want := range map[Role]string{
		RoleMigrate: "GRANT ALL PRIVILEGES ON `sluice`.* TO 'me'@'10.%'",
		RoleEdge:    "GRANT SELECT ON `sluice`.`lists` TO 'me'@'10.%'",
		RoleShop:    "GRANT SELECT, INSERT ON `sluice`.`lists` TO 'me'@'10.%'; GRANT SELECT ON `sluice`.`carts` TO 'me'@'10.%'",
	} {
		if got, err := all.Statements(role, "sluice", "me", "10.%"); err != nil || strings.Join(got, "; ") != want {
			t.Errorf("%s: %q, %v, want %q", role, got, err, want)
		}
	}
	for _, wrong := range [][4]string{{"edge", "sluice", "o'brien", "%"}, {"edge", "sluice", "me", `\`}, {"edge", "slu`ice", "me", "%"}, {"root", "sluice", "me", "%"}} {
		if got, err := all.Statements(Role(wrong[0]), wrong[1], wrong[2], wrong[3]); err == nil {
			t.Errorf("%q gives %q", wrong, got)
		}
	}
}
