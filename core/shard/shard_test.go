package shard_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/core/ids"
	"sluice/core/shard"
)

// Rows are where these say.
func TestShardsNeverChange(t *testing.T) {
	t.Parallel()
	f := func(s shard.Shard, want string) {
		t.Helper()
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(shard.OfUser(42), "users shard 666")
	f(shard.OfProduct(1), "products shard 0")
	f(shard.OfProduct(ids.ProductMax), "products shard 1023")
	f(shard.OfValue("ann@example.com"), "values shard 455")
	f(shard.OfValue([]byte("ann@example.com")), "values shard 455")
	f(shard.OfTimed(ids.Order(384855913269929178)), "checkouts 2026-11 shard 666")
	f(shard.OfMonth(shard.MonthOf(time.Date(2026, 12, 1, 7, 0, 0, 0, time.FixedZone("", 8*3600))), 42), "checkouts 2026-11 shard 666")
}

func TestShardsFollowFromIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.Int64Min(1).Draw(t, "user")
		at := ids.Epoch.Add(time.Duration(rapid.Int64Range(1, 1<<41-1).Draw(t, "ms")) * time.Millisecond)
		order, err := ids.Draw[ids.Order](at, ids.GeneOf(user))
		if err != nil {
			t.Fatal(err)
		}
		if of, want := shard.OfTimed(order), shard.OfMonth(shard.MonthOf(at), user); of != want || of.Month.String() != at.Format("2006-01") {
			t.Fatalf("an order of %d at %v is in %v, want %v", user, at, of, want)
		}
		if shard.OfTimed(order).Number != shard.OfUser(user).Number {
			t.Fatalf("order and user have different numbers")
		}
		product := ids.Product(rapid.Int64Range(1, int64(ids.ProductMax)).Draw(t, "product"))
		if first, last := shard.ProductsOf(shard.OfProduct(product).Number); product < first || product > last {
			t.Fatalf("the product %d is not in its shard's range, %d to %d", int64(product), int64(first), int64(last))
		}
	})
}

// Every product is in the range of one shard, and each range is that of its shard from end to end.
func TestRangesOfProductsMeet(t *testing.T) {
	t.Parallel()
	next := ids.Product(1)
	for n := range uint16(shard.Count) {
		first, last := shard.ProductsOf(n)
		if first != next || last < first || shard.OfProduct(first).Number != n || shard.OfProduct(last).Number != n {
			t.Errorf("shard %d has the products %d to %d, want them from %d on", n, int64(first), int64(last), int64(next))
		}
		next = last + 1
	}
	if next-1 != ids.ProductMax {
		t.Errorf("the last shard ends with %d, want %d", int64(next-1), int64(ids.ProductMax))
	}
}

// A month is that of UTC, in whatever zone a time is told.
func TestMonthsAreThoseOfUTC(t *testing.T) {
	t.Parallel()
	last := time.Date(2026, time.January, 31, 23, 59, 59, 0, time.UTC)
	for _, hours := range []int{-12, 0, 14} {
		zone := time.FixedZone("", hours*3600)
		if got := shard.MonthOf(last.In(zone)).String() + shard.MonthOf(last.Add(time.Second).In(zone)).String(); got != "2026-012026-02" {
			t.Errorf("%d hours from UTC January and February are %s", hours, got)
		}
	}
}

func TestMonthsBeyondIDs(t *testing.T) {
	t.Parallel()
	for at, want := range map[time.Time]string{{}: "2024-01", time.UnixMilli(1 << 60): "2093-09"} {
		if got := shard.MonthOf(at).String(); got != want {
			t.Errorf("the month of %v is %s, want %s", at, got, want)
		}
	}
}

// all is a range of all shards.
const all = `[{"first":0,"last":1023,"database":"a"}]`

// two has two databases of two tables each. Checkouts moved into them in 2027.
const two = `{
  "databases": [
    {"name": "a", "dsn_file": "a.dsn"},
    {"name": "b", "dsn_env": "B_DSN"}
  ],
  "users": [
    {"first": 0, "last": 255, "database": "a", "table": 0},
    {"first": 512, "last": 767, "database": "b", "table": 0},
    {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "products": ` + all + `,
  "values": ` + all + `,
  "checkouts": [
    {"from": "2024-01", "shards": ` + all + `},
    {"from": "2027-01", "shards": [
      {"first": 0, "last": 511, "database": "a", "table": 7},
      {"first": 512, "last": 1023, "database": "b"}
    ]}
  ]
}`

const secret = "user:hunter2@tcp(db)/"

// spelled is the database a once more.
const spelled = "other:hunter2@tcp(DB.:3306)/a?timeout=1s"

func load(t *testing.T, text string) (*shard.Map, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"shards.json": text, "a.dsn": secret + "a\n", "empty.dsn": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return shard.Load(filepath.Join(dir, "shards.json"), func(name string) (string, bool) {
		dsn, ok := map[string]string{
			"B_DSN": secret + "b", "A_DSN": secret + "a", "C_DSN": secret + "c", "D_DSN": secret + "d", "A_AGAIN": spelled, "NO_DSN": "hunter2",
		}[name]
		return dsn, ok
	})
}

func TestMapOfTwoDatabases(t *testing.T) {
	t.Parallel()
	m, err := load(t, two)
	if err != nil {
		t.Fatal(err)
	}
	databases := m.Databases()
	if len(databases) != 2 || databases[0].DSN.Reveal() != secret+"a" || databases[1].DSN.Reveal() != secret+"b" {
		t.Errorf("the databases are %+v, and their DSNs others than the file and the environment have", databases)
	}
	f := func(kind shard.Kind, month string, number uint16, want string) {
		t.Helper()
		at, _ := time.Parse("2006-01", month)
		place := m.Place(shard.Shard{Kind: kind, Month: shard.MonthOf(at), Number: number})
		if got := databases[place.Database].Name + place.Suffix; got != want {
			t.Errorf("%v %s %d is in %s, want %s", kind, month, number, got, want)
		}
	}
	f(shard.Users, "", 0, "a_0")
	f(shard.Users, "", 255, "a_0")
	f(shard.Users, "", 256, "a_1")
	f(shard.Users, "", 512, "b_0")
	f(shard.Users, "", 1023, "b_1")
	f(shard.Products, "", 1023, "a")
	f(shard.Values, "", 1, "a")
	f(shard.Checkouts, "2024-01", 1023, "a")
	f(shard.Checkouts, "2026-12", 0, "a")
	f(shard.Checkouts, "2027-01", 511, "a_7")
	f(shard.Checkouts, "2027-01", 512, "b")
	f(shard.Checkouts, "2093-09", 512, "b")
	for kind, want := range map[shard.Kind]string{
		shard.Users:     "[{0 _0} {0 _1} {1 _0} {1 _1}]",
		shard.Products:  "[{0 }]",
		shard.Checkouts: "[{0 } {0 _7} {1 }]",
	} {
		if got := fmt.Sprint(m.Places(kind)); got != want {
			t.Errorf("the places of %v are %s, want %s", kind, got, want)
		}
	}
}

func TestReaders(t *testing.T) {
	t.Parallel()
	m, err := load(t, strings.Replace(two, `"dsn_env": "B_DSN"`, `"dsn_env": "B_DSN", "readers": [{"dsn_env": "C_DSN"}]`, 1))
	if err != nil {
		t.Fatal(err)
	}
	readers := m.Databases()[1].Readers
	if len(readers) != 1 || readers[0].Reveal() != secret+"c" || len(m.Databases()[0].Readers) != 0 {
		t.Errorf("the readers are %d, and others than the file has", len(readers))
	}
}

// The files of DSNs are known although nobody knows the environment.
func TestFilesOfDSNs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shards.json")
	f := func(text string, want ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := shard.Files(path); !slices.Equal(got, want) {
			t.Errorf("the files of DSNs are %q, want %q", got, want)
		}
	}
	f(two, filepath.Join(dir, "a.dsn"))
	f(strings.Replace(two, `"dsn_env": "B_DSN"`, `"dsn_env": "B_DSN", "readers": [{"dsn_file": "/etc/r.dsn"}]`, 1), filepath.Join(dir, "a.dsn"), "/etc/r.dsn")
	f("")
	if got := shard.Files(filepath.Join(dir, "none")); got != nil {
		t.Errorf("a missing file names %q", got)
	}
}

func TestMapOfOneDatabase(t *testing.T) {
	t.Parallel()
	m := shard.One(shard.Database{Name: "shop"})
	for _, s := range []shard.Shard{shard.OfUser(1), shard.OfProduct(1), shard.OfValue(""), shard.OfTimed(ids.Order(1)), shard.OfTimed(ids.Order(1<<63 - 1))} {
		if got := m.Place(s); got != (shard.Place{}) {
			t.Errorf("%v is in %v", s, got)
		}
	}
	if got := m.Places(shard.Checkouts); len(got) != 1 {
		t.Errorf("checkouts have the places %v", got)
	}
}

// Every error says where and what, and none shows a DSN.
func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := func(name, old, replacement string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(two, old) {
				t.Fatalf("the file has no %s", old)
			}
			_, err := load(t, strings.Replace(two, old, replacement, 1))
			if err == nil {
				t.Fatal("it is taken")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a DSN: %v", err)
			}
			for _, part := range want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error is %v, without %q", err, part)
				}
			}
		})
	}
	f("gap", `"last": 255`, `"last": 250`, "users: shards 251 to 255 have no place")
	f("overlap", `"first": 512`, `"first": 511`, "line 9: users: shard 511 has a place in line 8 already")
	f("range twice", `"first": 512, "last": 767`, `"first": 0, "last": 255`, "shard 0 has a place in line 7 already")
	f("beyond", `"last": 1023, "database": "b", "table": 1`, `"last": 1024, "database": "b", "table": 1`, "line 10: users: want a first and a last shard of 0 to 1023")
	f("backwards", `"first": 0, "last": 255`, `"first": 255, "last": 0`, "line 7", "want a first and a last")
	f("no first", `"first": 512, `, ``, "line 8", "want a first and a last")
	f("null", `"first": 512`, `"first": null`, "line 8", "want a first and a last")
	f("no kind", `"values": `+all+`,`, ``, "values: shards 0 to 1023 have no place")
	f("unknown member", `"table": 0`, `"tabel": 0`, "line 7", "no such member")
	f("member in another case", `"users"`, `"Users"`, "line 6", "no such member")
	f("member twice", `"products"`, `"users"`, "line 12", "duplicate")
	f("wrong kind", `"first": 512`, `"first": "512"`, "line 8", "want another kind of value")
	f("fraction", `"first": 512`, `"first": 512.5`, "line 8", "want another kind of value")
	f("no JSON", `"users": [`, `"users": [,`, "line 6")
	f("unfinished", "    ]}\n  ]\n}", "", "line 1", "EOF")
	f("unknown database", `"database": "b", "table": 0`, `"database": "c", "table": 0`, "line 8", `database "c"`, "none of this name")
	f("no database", `"database": "b", "table": 0`, `"table": 0`, "line 8", `database ""`)
	f("unused database", `{"name": "b"`, `{"name": "x", "dsn_env": "D_DSN"}, {"name": "b"`, `line 4: database "x": no shard is in it`)
	f("same name", `{"name": "b"`, `{"name": "a", "dsn_env": "A_DSN"}, {"name": "b"`, `line 4: database "a"`, "looks like")
	f("look-alike name", `{"name": "a", "dsn_file": "a.dsn"}`, `{"name": "a", "dsn_file": "a.dsn"}, {"name": "db-1", "dsn_env": "A_DSN"}, {"name": "dbl", "dsn_env": "C_DSN"}`, `database "dbl": it looks like database "db-1"`)
	f("capital name", `{"name": "b"`, `{"name": "B"`, `line 4: database "B"`, "want a name")
	f("Cyrillic name", `{"name": "a"`, `{"name": "а"`, "line 3", "want a name")
	f("same DSN", `"B_DSN"`, `"A_DSN"`, `line 4: database "b": it is database "a"`)
	f("same database in another spelling", `"B_DSN"`, `"A_AGAIN"`, `line 4: database "b": it is database "a"`)
	f("a reader that is a writer", `"dsn_env": "B_DSN"`, `"dsn_env": "B_DSN", "readers": [{"dsn_env": "A_AGAIN"}]`, `line 4: reader 1 of database "b": it is database "a"`)
	f("reader twice", `"dsn_env": "B_DSN"`, `"dsn_env": "B_DSN", "readers": [{"dsn_env": "C_DSN"}, {"dsn_env": "C_DSN"}]`, `line 4: reader 2 of database "b": it is reader 1 of database "b"`)
	f("reader without a DSN", `"dsn_env": "B_DSN"`, `"dsn_env": "B_DSN", "readers": [{}]`, `line 4: reader 1 of database "b": want a dsn_file`)
	f("malformed DSN", `"B_DSN"`, `"NO_DSN"`, `line 4: database "b"`, "malformed")
	f("no DSN", `, "dsn_env": "B_DSN"`, ``, "line 4", "want a dsn_file")
	f("two DSNs", `"dsn_env": "B_DSN"`, `"dsn_env": "B_DSN", "dsn_file": "a.dsn"`, "line 4", "want a dsn_file")
	f("missing file", `"a.dsn"`, `"none.dsn"`, `line 3: database "a"`, "none.dsn", "no such file")
	f("empty file", `"a.dsn"`, `"empty.dsn"`, "line 3", "empty.dsn is empty")
	f("missing variable", `"B_DSN"`, `"E_DSN"`, "line 4", "E_DSN is empty")
	f("DSN for a variable", `"B_DSN"`, `"`+secret+`"`, "line 4", "want a dsn_file")
	f("table beyond", `"table": 7`, `"table": 1024`, "line 17", "table 1024")
	f("table below", `"table": 7`, `"table": -1`, "line 17", "table -1")
	f("first month", `"2024-01"`, `"2024-02"`, "line 15", "the first stretch begins with 2024-01")
	f("months backwards", `"2027-01"`, `"2024-01"`, "line 16", "want a month after")
	f("no month", `"2027-01"`, `"2027-13"`, "line 16", "want a month such as")
	f("month of one digit", `"2027-01"`, `"2027-1"`, "line 16", "want a month such as")
	f("month before", `"2024-01"`, `"2023-12"`, "line 15", "want a month such as")
	f("gap in a stretch", `"first": 512, "last": 1023, "database": "b"}
    ]}`, `"first": 513, "last": 1023, "database": "b"}
    ]}`, "checkouts from 2027-01: shards 512 to 512 have no place")
	f("more", "\n}", "\n}{}", "line")
}

// A wrong name may be in a thousand lines, and a wrong file may be of any size: an error stays one that people can read.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	var ranges []string
	for n := range 1000 {
		ranges = append(ranges, fmt.Sprintf(`{"first":%d,"last":%d,"database":"none"}`, n, n))
	}
	_, err := load(t, strings.Replace(two, `"products": `+all, `"products": [`+strings.Join(ranges, ",\n")+`]`, 1))
	if err == nil || strings.Count(err.Error(), "none of this name") != 20 {
		t.Errorf("of a thousand lines: %v", err)
	}
	if _, err := load(t, two+strings.Repeat(" ", 16<<20)); err == nil || !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Errorf("of a large file: %v", err)
	}
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	if _, err := shard.Load(filepath.Join(t.TempDir(), "none.json"), os.LookupEnv); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("the error is %v", err)
	}
}

func TestLookUpsAllocateNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	m := shard.One(shard.Database{})
	order, err := ids.Draw[ids.Order](ids.Latest, 1023)
	if err != nil {
		t.Fatal(err)
	}
	value := strings.Repeat("x", 200)
	if got := testing.AllocsPerRun(100, func() {
		m.Place(shard.OfUser(42))
		m.Place(shard.OfProduct(42))
		m.Place(shard.OfTimed(order))
		m.Place(shard.OfValue([]byte("ann")))
	}); got != 0 {
		t.Errorf("look-ups allocate %v times", got)
	}
	if got := testing.AllocsPerRun(100, func() { m.Place(shard.OfValue(value)) }); got > 1 {
		t.Errorf("the look-up of a long text allocates %v times", got)
	}
}
