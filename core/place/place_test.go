package place_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

var discard = slog.New(slog.DiscardHandler)

// things is an owner with a table in each place.
var things = schema.Owner{Name: "thing", Table: "thing_schema_version", Files: fstest.MapFS{
	"00001_things.sql": {Data: []byte("-- +goose Up\nCREATE TABLE IF NOT EXISTS things__ (user_id BIGINT PRIMARY KEY, word VARCHAR(20));\n")},
	"00002_word.sql":   {Data: []byte("-- +goose Up\nALTER TABLE things__ ADD KEY IF NOT EXISTS things___word (word);\n")},
}}

// file has two databases of two tables each.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [
    {"first": 0, "last": 255, "database": "a", "table": 0},
    {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0},
    {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "products": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [{"first": 0, "last": 1023, "database": "b"}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, a, b string) *place.Databases {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.dsn"), a)
	write(t, filepath.Join(dir, "b.dsn"), b)
	write(t, filepath.Join(dir, "shards.json"), file)
	m, err := place.Config{File: filepath.Join(dir, "shards.json")}.Map(shard.Database{}, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	d, err := place.Open(t.Context(), place.Options{Map: m, MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestTwoDatabasesOfTwoTables writes a row for each of many users, and finds it where its shard is and nowhere else.
func TestTwoDatabasesOfTwoTables(t *testing.T) {
	t.Parallel()
	d := open(t, servicetest.MariaDB(t), servicetest.MariaDB(t))
	if err := d.Check(t.Context(), shard.Users, things); err == nil || !strings.Contains(err.Error(), "sluice migrate") {
		t.Errorf("before it was migrated: %v", err)
	}
	for range 2 { // the second time finds all done
		if err := d.Migrate(t.Context(), shard.Users, things); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Check(t.Context(), shard.Users, things); err != nil {
		t.Fatal(err)
	}
	const users = 200
	for user := int64(1); user <= users; user++ {
		p := d.At(shard.OfUser(user))
		if _, err := p.Write(t.Context(), "a thing", func(tx *sql.Tx) error {
			_, err := p.In(tx).ExecContext(t.Context(), "INSERT INTO things__ VALUES (?, ?)", user, p.Name)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	found, places := 0, d.All(shard.Users)
	for _, p := range places {
		var n, astray int
		err := p.Read(t.Context(), 0, func(from *sql.DB) error {
			return p.In(from).QueryRowContext(t.Context(), "SELECT COUNT(*), COALESCE(SUM(word <> ?), 0) FROM things__", p.Name).Scan(&n, &astray)
		})
		if err != nil || n < users/8 || astray != 0 {
			t.Errorf("%s has %d users, and %d of other places, %v", p.Name, n, astray, err)
		}
		found += n
	}
	if found != users || len(places) != 4 {
		t.Errorf("%d places have %d users", len(places), found)
	}
	if p := d.At(shard.OfProduct(1)); p.Name != "a" || p.Suffix != "" {
		t.Errorf("products are in %s", p.Name)
	}
}

// TestOneDatabaseUnderTwoNames opens one database by two addresses, which no reading of DSNs finds equal.
func TestOneDatabaseUnderTwoNames(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	address := dsn[strings.Index(dsn, "(")+1 : strings.Index(dsn, ")")]
	d := open(t, dsn, strings.Replace(dsn, address, servicetest.NewLink(t, address).Addr, 1))
	if err := d.Migrate(t.Context(), shard.Users, things); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context(), shard.Users, things); err == nil || !strings.Contains(err.Error(), "database b is database a under another name") {
		t.Errorf("one database twice: %v", err)
	}
}

func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	m := shard.One(shard.Database{Name: "shop", DSN: "u:hunter2@tcp(127.0.0.1:1)/x"})
	_, err := place.Open(t.Context(), place.Options{Map: m, MySQL: db.Config{ConnsMax: 2, Timeout: time.Second}, Log: discard})
	if err == nil || !strings.Contains(err.Error(), "database shop") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}

// TestFilesOfTheMapAreLookedAt: a file of a DSN that everybody may read is told, wherever the settings have the map.
func TestFilesOfTheMapAreLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.dsn", "b.dsn", "shards.json"} {
		write(t, filepath.Join(dir, name), file)
	}
	if err := os.Chmod(filepath.Join(dir, "b.dsn"), 0o644); err != nil {
		t.Fatal(err)
	}
	settings := struct {
		place.Config
		Again place.Config
	}{place.Config{File: filepath.Join(dir, "shards.json")}, place.Config{}}
	got := config.Exposed(reflect.ValueOf(&settings))
	if want := []config.OpenFile{{Path: filepath.Join(dir, "b.dsn"), Mode: 0o644}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the exposed files are %v, want %v", got, want)
	}
}

// TestReadersThatLag has two real replicas: one is stopped, and one may be read from.
func TestReadersThatLag(t *testing.T) {
	t.Parallel()
	primary, fast, slow := replicated(t)
	m := mapOf(t, primary.DSN("shop"), fast.DSN("shop"), slow.DSN("shop"))
	d, err := place.Open(t.Context(), place.Options{Map: m, MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: 2 * time.Second, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), shard.Users, things); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	p := d.At(shard.OfUser(1))

	// whoIs reads who answers from a position on, and whether the user's row is there.
	whoIs := func(from db.Position, user int64) (port int, has bool) {
		t.Helper()
		err := p.Read(t.Context(), from, func(in *sql.DB) error {
			return in.QueryRowContext(t.Context(), "SELECT @@port, (SELECT COUNT(*) FROM things WHERE user_id = ?)", user).Scan(&port, &has)
		})
		if err != nil {
			t.Fatal(err)
		}
		return port, has
	}
	ports := map[int]string{portOf(t, primary.Addr): "primary", portOf(t, fast.Addr): "fast", portOf(t, slow.Addr): "slow"}
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain: %s", what)
			}
		}
	}
	answers := func(n int) map[string]int {
		counts := map[string]int{}
		for range n {
			port, _ := whoIs(0, 1)
			counts[ports[port]]++
		}
		return counts
	}
	await("both replicas are read from", func() bool { c := answers(10); return c["fast"] > 0 && c["slow"] > 0 })

	user := int64(0)
	// seesOwn writes many rows, and each is there for who reads it from its position on.
	seesOwn := func() (by map[string]int) {
		t.Helper()
		by = map[string]int{}
		for range 50 {
			user++
			from, err := p.Write(t.Context(), "a thing", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "INSERT INTO things (user_id) VALUES (?)", user)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			port, has := whoIs(from, user)
			if !has {
				t.Errorf("the %s does not have row %d of who reads it", ports[port], user)
			}
			by[ports[port]]++
			if user%10 == 0 { // a reader catches up, and takes over
				await("a reader reaches a position", func() bool { port, _ := whoIs(from, user); return ports[port] != "primary" })
			}
		}
		return by
	}
	if by := seesOwn(); by["primary"] == 0 {
		t.Errorf("who has just written was answered by %v", by)
	}

	exec(t, slow.DSN("shop"), "STOP SLAVE SQL_THREAD")
	if by := seesOwn(); by["slow"] != 0 {
		t.Errorf("with a stopped replica: %v", by)
	}
	await("a replica that lags is not read from", func() bool { return answers(10)["slow"] == 0 })
	if err := fast.Kill(); err != nil {
		t.Fatal(err)
	}
	if c := answers(10); c["primary"] != 10 {
		t.Errorf("with a dead replica and one that lags: %v", c)
	}
	_, _, fellBack := p.Reads()
	if fellBack == 0 {
		t.Log("the look was faster than a read")
	}
	exec(t, slow.DSN("shop"), "START SLAVE SQL_THREAD")
	await("a replica that has caught up is read from", func() bool { return answers(10)["slow"] > 0 })

	// A replica cannot be written to by mistake, though root may write everywhere.
	reader, err := db.Config{DSN: config.Secret(slow.DSN("shop")), ConnsMax: 1, Timeout: time.Minute}.OpenReader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.ExecContext(t.Context(), "INSERT INTO things (user_id) VALUES (1000)"); err == nil {
		t.Error("a reader wrote")
	}
	// The writer goes: who needs no position is still answered.
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if port, has := whoIs(0, 1); ports[port] != "slow" || !has {
		t.Errorf("without a writer the %s answered", ports[port])
	}
	if at := p.Position(t.Context()); at != db.Never {
		t.Errorf("without a writer its position is %d", at)
	}
}

func mapOf(t *testing.T, writer string, readers ...string) *shard.Map {
	t.Helper()
	of := shard.Database{Name: "shop", DSN: config.Secret(writer)}
	for _, reader := range readers {
		of.Readers = append(of.Readers, config.Secret(reader))
	}
	return shard.One(of)
}

func exec(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, statement := range statements {
		if _, err := pool.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
}

func portOf(t *testing.T, address string) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(address[strings.LastIndex(address, ":"):], ":%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}
