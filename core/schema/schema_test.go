package schema

import (
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"

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

// TestOwnersInOneDatabase migrates two owners without each other, each by three processes at once.
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
				if done, err := o.Migrate(t.Context(), open(t, dsn, time.Minute), discard); err != nil || done.Version != want {
					t.Errorf("migrated %s to %d, %v, want %d", o.Name, done.Version, err, want)
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

// TestMigrateKeepsItsLock has a step that takes longer than the server keeps a silent connection.
func TestMigrateKeepsItsLock(t *testing.T) {
	t.Parallel()
	c, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), Timeout: time.Minute}.Connector()
	if err != nil {
		t.Fatal(err)
	}
	pool := servicetest.Impatient(t, c, 2)
	slow := Owner{Name: "slow", Table: "slow_schema_version", Files: fstest.MapFS{"00001_rows.sql": &fstest.MapFile{Data: []byte("-- +goose Up\n" +
		"CREATE TABLE locked (yes BOOLEAN NOT NULL) SELECT SLEEP(3) = 0 AND IS_USED_LOCK('" + migrationLock + "') IS NOT NULL AS yes;\n")}}}
	if _, err := slow.Migrate(t.Context(), pool, discard); err != nil {
		t.Fatal(err)
	}
	var yes bool
	if err := pool.QueryRowContext(t.Context(), "SELECT yes FROM locked").Scan(&yes); err != nil || !yes {
		t.Errorf("the lock is there at the end of a long step: %v, %v", yes, err)
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

// TestMigrateTellsWhatGrantsAreFor has steps that make tables and columns. The grants name some of them.
func TestMigrateTellsWhatGrantsAreFor(t *testing.T) {
	t.Parallel()
	pool := open(t, servicetest.MariaDB(t), time.Minute)
	price := ownerOf("price", "00001_lists.sql", "00002_notes.sql")
	price.Grants = []Grant{
		{RoleEdge, "SELECT", price.Table},
		{RoleShop, "SELECT, UPDATE (id)", "price_00001_lists"},
		{RoleEdge, "SELECT", "price_00001_lists"},
	}
	migrate := func(want ...string) {
		t.Helper()
		if done, err := price.Migrate(t.Context(), pool, discard); err != nil || !slices.Equal(done.New, want) {
			t.Errorf("new are %q, %v, want %q", done.New, err, want)
		}
	}
	migrate("price_00001_lists", price.Table)
	migrate()
	files := price.Files.(fstest.MapFS)
	files["00003_state.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE price_00001_lists ADD state INT, ADD why INT, ADD at INT;\n")}
	price.Grants = append(price.Grants, Grant{RoleShop, "UPDATE (state, why), SELECT (id)", "price_00001_lists"})
	migrate("price_00001_lists.state", "price_00001_lists.why")

	files["00004_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE price_more (id INT);\n")}
	files["00005_wrong.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE price_more (id INT);\n")}
	price.Grants = append(price.Grants, Grant{RoleShop, "SELECT", "price_more"})
	if done, err := price.Migrate(t.Context(), pool, discard); err == nil || !slices.Equal(done.New, []string{"price_more"}) {
		t.Errorf("before a step that failed (%v) %q is new", err, done.New)
	}
}

// TestCheckTellsRightsFromTables: an account without a right on the table of versions is not told that only a migration
// is missing.
func TestCheckTellsRightsFromTables(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	root, cart := open(t, dsn, time.Minute), ownerOf("cart", "00001_carts.sql")
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.User = fmt.Sprintf("cart%d", rand.Uint32())
	for _, statement := range []string{
		"CREATE TABLE other (id INT)", "CREATE USER '" + c.User + "'@'%'", "GRANT SELECT ON `" + c.DBName + "`.other TO '" + c.User + "'@'%'",
	} {
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	account := open(t, c.FormatDSN(), time.Minute)
	told := func(by *sql.DB, want string) {
		t.Helper()
		if err := cart.Check(t.Context(), by); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("told %v, want %q", err, want)
		}
	}
	const denied = "may not read table cart_schema_version: run sluice migrate if this version has not migrated yet, then give the accounts again what sluice grants prints"
	told(root, "there is no table cart_schema_version: run sluice migrate: ")
	told(account, denied)
	if _, err := cart.Migrate(t.Context(), root, discard); err != nil {
		t.Fatal(err)
	}
	told(account, denied)
	if _, err := root.ExecContext(t.Context(), "GRANT SELECT ON `"+c.DBName+"`.cart_schema_version TO '"+c.User+"'@'%'"); err != nil {
		t.Fatal(err)
	}
	if err := cart.Check(t.Context(), account); err != nil {
		t.Error(err)
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

// TestPlaces has the tables of an owner twice in a database, each with a count of versions of its own.
func TestPlaces(t *testing.T) {
	t.Parallel()
	pool := open(t, servicetest.MariaDB(t), time.Minute)
	o := Owner{Name: "cart", Table: "cart_schema_version", Grants: []Grant{{RoleShop, "SELECT", "carts__"}}, Files: fstest.MapFS{
		"00001_carts.sql": {Data: []byte("-- +goose Up\nCREATE TABLE carts__ (id BIGINT PRIMARY KEY);\n")},
	}}
	for _, suffix := range []string{"_0", "_1", ""} {
		at := o.At(suffix)
		if done, err := at.Migrate(t.Context(), pool, discard); err != nil || done.Version != 1 || !slices.Equal(done.New, []string{"carts" + suffix}) {
			t.Errorf("%q: %+v, %v", suffix, done, err)
		}
		if err := at.Check(t.Context(), pool); err != nil {
			t.Error(err)
		}
		if _, err := pool.ExecContext(t.Context(), "INSERT INTO carts"+suffix+" VALUES (1)"); err != nil {
			t.Error(err)
		}
	}
	o.Files = fstest.MapFS{
		"00001_carts.sql": o.Files.(fstest.MapFS)["00001_carts.sql"],
		"00002_word.sql":  {Data: []byte("-- +goose Up\nALTER TABLE carts__ ADD COLUMN word INT;\n")},
	}
	if done, err := o.At("_0").Migrate(t.Context(), pool, discard); err != nil || done.Version != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if err := o.At("_1").Check(t.Context(), pool); err == nil {
		t.Error("the other place is said to be migrated")
	}
	if o.Grants[0].Table != "carts__" {
		t.Errorf("the owner itself was changed: %+v", o.Grants)
	}
}

func TestMakes(t *testing.T) {
	t.Parallel()
	o := ownerOf("cart", "00001_carts.sql", "00002_lines.sql")
	if err := o.Makes("CREATE TABLE\n  cart_00002_lines (id  BIGINT PRIMARY KEY);"); err != nil {
		t.Error(err)
	}
	if err := o.Makes("CREATE TABLE cart_00003_more (id BIGINT PRIMARY KEY);"); err == nil || !strings.Contains(err.Error(), "cart_00003_more") {
		t.Errorf("a statement that no migration has: %v", err)
	}
}
