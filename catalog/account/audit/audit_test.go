package audit_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
	"sluice/core/stock"
	"sluice/core/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

var discard = slog.New(slog.DiscardHandler)

// file has two databases of two tables each for users, and puts all else into the second one.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [
    {"first": 0, "last": 255, "database": "a", "table": 0},
    {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0},
    {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "products": [{"first": 0, "last": 1023, "database": "b"}],
  "values": [{"first": 0, "last": 1023, "database": "b"}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

// open opens the databases of a map, with the tables of the log in them.
func open(t *testing.T, m *shard.Map) *place.Databases {
	t.Helper()
	d, err := place.Open(place.Options{Map: m, MySQL: db.Config{ConnsMax: 8, Timeout: time.Minute}, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{audit.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	return d
}

func one(t *testing.T) *place.Databases {
	t.Helper()
	return open(t, shard.One(shard.Database{Name: "shop", DSN: config.Secret(servicetest.MariaDB(t))}))
}

func four(t *testing.T) *place.Databases {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.dsn": servicetest.MariaDB(t), "b.dsn": servicetest.MariaDB(t), "shards.json": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := shard.Load(filepath.Join(dir, "shards.json"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, m)
}

// do writes an act about a user down, in a transaction of its own.
func do(ctx context.Context, d *place.Databases, l audit.Log, user int64, edit func(*audit.Act)) error {
	a := audit.Act{
		Author: audit.Author{Actor: "admin:1", Origin: "192.0.2.1 9f3c"}, Act: "user.change", Object: audit.Of("user", user), Why: "a test",
		Changes: []audit.Change{{Name: "region", Before: "eu", After: "us"}},
	}
	if edit != nil {
		edit(&a)
	}
	of := shard.OfUser(user)
	p := d.At(of)
	_, err := p.Write(ctx, "an act", func(tx *sql.Tx) error { return l.Append(ctx, p.In(tx), of, a) })
	return err
}

func mustDo(t *testing.T, d *place.Databases, user int64, edit func(*audit.Act)) {
	t.Helper()
	if err := do(t.Context(), d, audit.Log{}, user, edit); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, d *place.Databases, marks ...audit.Head) (entries int64, found []audit.Finding) {
	t.Helper()
	c := audit.NewChecker()
	for _, h := range marks {
		c.Mark(h)
	}
	if err := audit.NewReader(d).Verify(t.Context(), c, func() {}); err != nil {
		t.Fatal(err)
	}
	entries, _, _ = c.Counts()
	return entries, c.Findings()
}

func heads(t *testing.T, d *place.Databases) []audit.Head {
	t.Helper()
	all, err := audit.NewReader(d).Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestActsOfManyAtOnce has many who act on few users at once, in two databases of two tables. Each act is an entry, each chain has
// all its acts, and those of transactions that were rolled back are not there.
func TestActsOfManyAtOnce(t *testing.T) {
	t.Parallel()
	d := four(t)
	const acts, users = 400, 7
	chains := map[shard.Shard]bool{}
	for round := range 3 {
		var group errgroup.Group
		group.SetLimit(16)
		for i := range acts {
			user := int64(1 + i%users)
			chains[shard.OfUser(user)] = true
			group.Go(func() error { return do(t.Context(), d, audit.Log{}, user, nil) })
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		for user := range int64(users) {
			p := d.At(shard.OfUser(user + 1))
			_, err := p.Write(t.Context(), "an act", func(tx *sql.Tx) error {
				if err := (audit.Log{}).Append(t.Context(), p.In(tx), shard.OfUser(user+1), audit.Act{Author: audit.Author{Actor: "shop"}, Act: "user.change", Object: "user:1"}); err != nil {
					return err
				}
				return errRolledBack
			})
			if !errors.Is(err, errRolledBack) {
				t.Errorf("a rolled back act of round %d: %v", round, err)
			}
		}
	}
	entries, found := verify(t, d, heads(t, d)...)
	if entries != 3*acts || len(found) != 0 {
		t.Errorf("%d entries, %v", entries, found)
	}
	seen := map[string]bool{}
	for _, h := range heads(t, d) {
		seen[d.At(h.Chain.Shard()).Name] = true
	}
	if len(heads(t, d)) != len(chains) || len(seen) < 2 {
		t.Errorf("%d chains in %v", len(heads(t, d)), seen)
	}
}

var errRolledBack = errors.New("rolled back")

// TestToldOften has an act that is told by many at once and again later: it is one entry.
func TestToldOften(t *testing.T) {
	t.Parallel()
	d := one(t)
	tell := func(ref string) error {
		return do(t.Context(), d, audit.Log{}, 1, func(a *audit.Act) { a.Ref = ref })
	}
	var group errgroup.Group
	group.SetLimit(8)
	for i := range 60 {
		group.Go(func() error { return tell(fmt.Sprintf("stock:%d", i%3)) })
	}
	if err := errors.Join(group.Wait(), tell("stock:0"), tell("")); err != nil {
		t.Fatal(err)
	}
	if entries, found := verify(t, d); entries != 4 || len(found) != 0 {
		t.Errorf("%d entries, %v: want 4", entries, found)
	}
}

// TestAppendCosts counts statements: what is written with every privileged act must be cheap.
func TestAppendCosts(t *testing.T) {
	t.Parallel()
	d := one(t)
	mustDo(t, d, 1, nil)
	of := shard.OfUser(1)
	p := d.At(of)
	ctx, calls := tally.Count(t.Context())
	if _, err := p.Write(t.Context(), "an act", func(tx *sql.Tx) error {
		return audit.Log{}.Append(ctx, p.In(tx), of, audit.Act{Author: audit.Author{Actor: "shop"}, Act: "user.change", Object: "user:1"})
	}); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls, want 2", calls.Load())
	}
}

// TestNothingIsWrittenOfAWrongAct: who describes an act wrongly learns it before anything is written.
func TestNothingIsWrittenOfAWrongAct(t *testing.T) {
	t.Parallel()
	d := one(t)
	for name, edit := range map[string]func(*audit.Act){
		"actor":   func(a *audit.Act) { a.Actor = "the boss" },
		"changes": func(a *audit.Act) { a.Changes = []audit.Change{{Name: "x", After: strings.Repeat("x", 17<<10)}} },
		"value":   func(a *audit.Act) { a.Changes = []audit.Change{{Name: "x", After: make(chan int)}} },
	} {
		if err := do(t.Context(), d, audit.Log{}, 1, edit); !errors.Is(err, stock.ErrNotApplied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, _ := verify(t, d); entries != 0 {
		t.Errorf("%d entries", entries)
	}
}

// sealer is one for tests: it turns a value around.
type sealer struct{ asked atomic.Int64 }

func (s *sealer) Seal(_ context.Context, user ids.User, value []byte) ([]byte, error) {
	s.asked.Add(1)
	if user == 13 {
		return nil, errors.New("there is no key")
	}
	value = slices.Clone(value)
	slices.Reverse(value)
	return value, nil
}

// TestPersonalValues: they are sealed by the key of their user, or not there.
func TestPersonalValues(t *testing.T) {
	t.Parallel()
	d := one(t)
	personal := func(user ids.User) func(*audit.Act) {
		return func(a *audit.Act) {
			a.Changes = []audit.Change{
				{Name: "email", Before: "canary@example.com", After: "canary2@example.com", Personal: user},
				{Name: "phone", After: "+49 30 canary", Personal: user},
				{Name: "locale", Before: "de", After: "fr"},
			}
		}
	}
	mustDo(t, d, 1, personal(1))
	var s sealer
	if err := do(t.Context(), d, audit.Log{Sealer: &s}, 1, personal(1)); err != nil || s.asked.Load() != 3 {
		t.Errorf("%v, and %d values were sealed, want 3", err, s.asked.Load())
	}
	if err := do(t.Context(), d, audit.Log{Sealer: &s}, 1, personal(13)); !errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("without a key: %v", err)
	}
	var out bytes.Buffer
	if _, err := audit.NewReader(d).Export(t.Context(), &out, nil, time.Now(), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	const hidden = `[{"name":"email","hidden":true},{"name":"phone","hidden":true},{"name":"locale","before":"de","after":"fr"}]`
	if strings.Contains(out.String(), "canary") || !strings.Contains(lines[0], hidden) || strings.Count(lines[1], `"sealed":true`) != 2 || len(lines) != 4 {
		t.Errorf("%s", out.String())
	}
}

// TestTheShopsAccountOnlyAppends works with the rights that the shop has.
func TestTheShopsAccountOnlyAppends(t *testing.T) {
	t.Parallel()
	dsn := servicetest.MariaDB(t)
	root := open(t, shard.One(shard.Database{Name: "root", DSN: config.Secret(dsn)}))
	mustDo(t, root, 1, nil)
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	admin := root.At(shard.OfUser(1)).Writer()
	user := fmt.Sprintf("catalog%d", rand.Uint32())
	statements, err := schema.Owners{audit.Schema().At("")}.Statements(schema.RoleCatalog, c.DBName, user, "%")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append([]string{"CREATE USER '" + user + "'@'%'"}, statements...) {
		if _, err := admin.ExecContext(t.Context(), s); err != nil {
			t.Fatal(s, err)
		}
	}
	c.User, c.Passwd = user, ""
	own, err := place.Open(place.Options{
		Map: shard.One(shard.Database{Name: "own", DSN: config.Secret(c.FormatDSN())}), MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, Log: discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	mustDo(t, own, 1, nil)
	mustDo(t, own, 1, func(a *audit.Act) { a.Ref = "x" })
	if entries, found := verify(t, own); entries != 3 || len(found) != 0 {
		t.Errorf("%d entries, %v", entries, found)
	}
	for _, statement := range []string{
		"UPDATE audit_entries SET why = 'another'", "UPDATE audit_entries SET why = why WHERE FALSE", "DELETE FROM audit_entries", "DELETE FROM audit_entries WHERE FALSE",
		"TRUNCATE TABLE audit_entries", "DROP TABLE audit_entries", "ALTER TABLE audit_entries DROP COLUMN why", "RENAME TABLE audit_entries TO elsewhere",
		"REPLACE INTO audit_entries SELECT * FROM audit_entries", "INSERT INTO audit_entries SELECT * FROM audit_entries AS e ON DUPLICATE KEY UPDATE why = 'another'",
		"UPDATE audit_schema_version SET is_applied = 0",
	} {
		_, err := own.At(shard.OfUser(1)).Writer().ExecContext(t.Context(), statement)
		if err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if entries, found := verify(t, root); entries != 3 || len(found) != 0 {
		t.Errorf("%d entries afterwards, %v", entries, found)
	}
}

// TestRowsThatWereEdited edits rows as somebody could who has all rights, and looks at the findings.
func TestRowsThatWereEdited(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"UPDATE audit_entries SET why = 'another' WHERE n = 2":                        "changed 2",
		"UPDATE audit_entries SET at = at + INTERVAL 1 HOUR WHERE n = 2":              "changed 2",
		"UPDATE audit_entries SET actor = 'admin:2' WHERE n = 3":                      "changed 3",
		"UPDATE audit_entries SET changes = REPLACE(changes, 'us', 'cn') WHERE n = 1": "changed 1",
		"UPDATE audit_entries SET ref = 'x' WHERE n = 1":                              "changed 1",
		"UPDATE audit_entries SET hash = UNHEX(SHA2('x', 256)) WHERE n = 2":           "changed 2, changed 3",
		"DELETE FROM audit_entries WHERE n = 2":                                       "missing 2",
		"DELETE FROM audit_entries WHERE n = 4":                                       "cut 4",
		"DELETE FROM audit_entries":                                                   "cut 1",
		"UPDATE audit_entries SET n = 9 WHERE n = 4":                                  "missing 4",
		"UPDATE audit_entries SET chain = chain + 1 WHERE n = 4":                      "cut 4, missing 1",
	} {
		d := one(t)
		for range 4 {
			mustDo(t, d, 1, nil)
		}
		marks := heads(t, d)
		if _, err := d.At(shard.OfUser(1)).Writer().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		_, found := verify(t, d, marks...)
		var got []string
		for _, f := range found {
			got = append(got, fmt.Sprintf("%s %d", f.Kind, f.N))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", statement, got, want)
		}
	}
}

func keys(t *testing.T) *auth.Keys {
	t.Helper()
	key, err := auth.GenerateKey(auth.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	set, err := auth.NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
