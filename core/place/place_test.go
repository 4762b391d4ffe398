package place_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

var discard = slog.New(slog.DiscardHandler)

// owners have a table of things in each place of users.
var owners = place.Owners{place.Beats, {Where: place.Of(shard.Users), Owner: schema.Owner{Name: "thing", Table: "thing_schema_version", Files: fstest.MapFS{
	"00001_things.sql": {Data: []byte("-- +goose Up\nCREATE TABLE IF NOT EXISTS things__ (user_id BIGINT PRIMARY KEY, word VARCHAR(20));\n")},
	"00002_word.sql":   {Data: []byte("-- +goose Up\nALTER TABLE things__ ADD KEY IF NOT EXISTS things___word (word);\n")},
}, Grants: []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT", Table: "things__"},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: "thing_schema_version"},
}}}}

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
	d, err := place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, Log: discard})
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
	if err := d.Check(t.Context(), owners); err == nil || !strings.Contains(err.Error(), "sluice migrate") {
		t.Errorf("before it was migrated: %v", err)
	}
	for range 2 { // the second time finds all done
		if err := d.Migrate(t.Context(), owners, place.Quiet); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Check(t.Context(), owners); err != nil {
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
		has, err := place.Read(t.Context(), p, 0, func(from place.Conn) (has struct{ own, astray int }, err error) {
			err = from.QueryRowContext(t.Context(), "SELECT COUNT(*), COALESCE(SUM(word <> ?), 0) FROM things__", p.Name).Scan(&has.own, &has.astray)
			return has, err
		})
		if err != nil || has.own < users/8 || has.astray != 0 {
			t.Errorf("%s has %+v users, %v", p.Name, has, err)
		}
		found += has.own
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
	if err := d.Migrate(t.Context(), owners, place.Quiet); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context(), owners); err == nil || !strings.Contains(err.Error(), "database b is database a under another name") {
		t.Errorf("one database twice: %v", err)
	}
}

func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	d := open(t, servicetest.MariaDB(t), "u:hunter2@tcp(127.0.0.1:1)/x")
	for what, ask := range map[string]func() error{
		"vet":    func() error { return d.Vet(t.Context()) },
		"faults": func() error { _, err := d.Faults(t.Context()); return err },
		"check":  func() error { return d.Check(t.Context(), place.Owners{}) },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "database b: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("one of two answers: %v", err)
	}
	if err := d.CheckAnswering(t.Context(), owners); err == nil || !strings.Contains(err.Error(), "database_beats") && !strings.Contains(err.Error(), "place_schema_version") {
		t.Errorf("the one that answers has no tables: %v", err)
	}
	away := open(t, "u@tcp(127.0.0.1:1)/x", "u@tcp(127.0.0.1:2)/x")
	if err := away.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "database a: ") {
		t.Errorf("none answers: %v", err)
	}
}

// TestGrantsNameTheTablesOfAPlace: each database is granted its own tables.
func TestGrantsNameTheTablesOfAPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.dsn"), "u@tcp(a)/x")
	write(t, filepath.Join(dir, "b.dsn"), "u@tcp(b)/x")
	write(t, filepath.Join(dir, "shards.json"), strings.Replace(file, `"database": "b", "table": 0`, `"database": "b", "table": 7`, 1))
	m, err := place.Config{File: filepath.Join(dir, "shards.json")}.Map(db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for database, want := range []string{"_0 _1", "_7 _1"} {
		got, err := owners.In(m, database).Statements(schema.RoleCatalog, "x", "u", "%")
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(got, "\n")
		tables := []string{"database_beats", "place_schema_version"}
		for suffix := range strings.FieldsSeq(want) {
			tables = append(tables, "things"+suffix, "thing_schema_version"+suffix)
		}
		for _, table := range tables {
			if !strings.Contains(all, "`x`.`"+table+"` ") || len(got) != len(tables) {
				t.Errorf("of database %d: %s, want %q", database, all, tables)
			}
		}
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

// TestGrantsAreEnough does with an account of the shop what a process does.
func TestGrantsAreEnough(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	of, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	of.User = fmt.Sprintf("shop%d", rand.Uint32())
	openAs := func(dsn string) *place.Databases {
		t.Helper()
		d, err := place.Open(place.Options{Map: mapOf(dsn, dsn), MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: time.Hour, Log: discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	root := openAs(dsn)
	if err := root.Migrate(t.Context(), owners, place.Quiet); err != nil {
		t.Fatal(err)
	}
	statements, err := owners.In(mapOf(dsn), 0).Statements(schema.RoleCatalog, of.DBName, of.User, "%")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range append([]string{"CREATE USER '" + of.User + "'@'%'"}, statements...) {
		if _, err := root.At(shard.OfUser(1)).Writer().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	d := openAs(of.FormatDSN())
	if err := errors.Join(d.Vet(t.Context()), d.Check(t.Context(), owners), d.Ping(t.Context())); err != nil {
		t.Error(err)
	}
	run(t, d)
	p := d.At(shard.OfUser(1))
	for end := time.Now().Add(30 * time.Second); p.Lag() > time.Minute; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the account makes no beats, or sees none")
		}
	}
	if _, err := p.Writer().ExecContext(t.Context(), "UPDATE database_beats SET identity = ''"); err == nil {
		t.Error("the account changed which database it is")
	}
}

func mapOf(writer string, readers ...string) *shard.Map {
	of := shard.Database{Name: "shop", DSN: config.Secret(writer)}
	for _, reader := range readers {
		of.Readers = append(of.Readers, config.Secret(reader))
	}
	return shard.One(of)
}

func portOf(t *testing.T, address string) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(address[strings.LastIndex(address, ":"):], ":%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}

// TestExampleOfTheDocuments reads the file that docs/places.md shows.
func TestExampleOfTheDocuments(t *testing.T) {
	t.Setenv("WEST_DSN", "u@tcp(west)/x")
	page, err := os.ReadFile("../../docs/places.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "east.dsn"), "u@tcp(east)/x")
	write(t, filepath.Join(dir, "east-reader.dsn"), "u@tcp(reader)/x")
	write(t, filepath.Join(dir, "shards.json"), example)
	c := place.Config{File: filepath.Join(dir, "shards.json")}
	if err := c.Check(db.Config{ConnsMax: 1, Timeout: time.Minute}); err != nil {
		t.Error(err)
	}
	m, err := c.Map(db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if all := m.Databases(); len(all) != 2 || len(all[0].Readers) != 1 || all[1].DSN.Reveal() != "u@tcp(west)/x" {
		t.Errorf("%+v", all)
	}
}
