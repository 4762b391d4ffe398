package assess_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// desk has assessments of a shop with two tables of users, and what decisions have led to.
type desk struct {
	*assess.Assessments

	t         *testing.T
	databases *place.Databases
	file      string // of the rules
	set       *metrics.Set
	decided   []string
	fault     error // of what follows from a decision
}

func newDesk(t *testing.T, rules string) *desk {
	t.Helper()
	d := &desk{t: t, file: filepath.Join(t.TempDir(), "rules.json"), set: metrics.NewSet()}
	dir := filepath.Dir(d.file)
	for name, text := range map[string]string{
		"rules.json": rules, "a.dsn": servicetest.MariaDB(t), "shards.json": `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}],
  "users": [{"first": 0, "last": 511, "database": "a", "table": 0}, {"first": 512, "last": 1023, "database": "a", "table": 1}],
  "products": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [{"first": 0, "last": 1023, "database": "a"}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "a"}]}]
}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	d.databases, err = place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{
		MySQL: db.Config{ConnsMax: 8, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.databases.Close() })
	if err := d.databases.Migrate(t.Context(), place.Owners{assess.Schema(), audit.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	d.Assessments, err = assess.New(assess.Config{
		Databases: d.databases, File: d.file, Metrics: d.set, Log: slog.New(slog.DiscardHandler),
		Index: func(name, value string) [32]byte { return sha256.Sum256([]byte(name + " " + value)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Register(assess.SignUp, assess.Asker{Object: func(user int64) string { return audit.Of("user", user) }, At: shard.OfUser, Decided: func(_ context.Context, tx *sql.Tx, _ place.Place, o assess.Outcome) error {
		if tx == nil {
			t.Error("it has no transaction")
		}
		d.decided = append(d.decided, fmt.Sprintln(o.Case, o.Was, o.Allowed))
		return d.fault
	}})
	return d
}

// at is where the rows of a user are.
func (d *desk) at(user int64) place.Place { return d.databases.At(shard.OfUser(user)) }

func signUp(user int64) assess.Case { return assess.Case{Moment: assess.SignUp, Subject: user} }

// from are facts of a user at home in a region.
func from(region string) (f assess.Facts) {
	f.Word(assess.Region, region)
	return f
}

// passes assesses a user who signs up, and notes the answer as the effect's transaction does.
func (d *desk) passes(user int64, region string) assess.Verdict {
	d.t.Helper()
	v, err := d.Assess(d.t.Context(), signUp(user), from(region))
	if err == nil && v.Answer != assess.Deny {
		err = db.Write(d.t.Context(), d.at(user).Writer(), "user", func(tx *sql.Tx) error { return d.Note(d.t.Context(), tx, signUp(user), v) })
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func (d *desk) queue() []string {
	d.t.Helper()
	var all []string
	for cursor := ""; ; {
		page, next, err := d.Queue(d.t.Context(), 3, cursor)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, r := range page {
			all = append(all, r.String())
		}
		if cursor = next; next == "" {
			return all
		}
	}
}

const byRegion = `{"rules": [
	{"name": "challenged", "at": ["sign_up"], "when": {"region": {"in": ["ch"]}}, "then": "challenge"},
	{"name": "held", "at": ["sign_up"], "when": {"region": {"in": ["ho"]}}, "then": "hold"},
	{"name": "denied", "at": ["sign_up"], "when": {"region": {"in": ["de"]}}, "then": "deny"}
]}`

var (
	amy = audit.Author{Actor: "admin:1", Origin: "a test"}
	bob = audit.Author{Actor: "admin:2", Origin: "a test"}
)

// The first answer of a case stays, whatever the rules say later. It is stored without what was known.
func TestFirstAnswerStays(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	for user, region := range map[int64]string{1: "ch", 2: "ho", 3: "de", 4: "eu"} {
		first := d.passes(user, region)
		if want := map[string]assess.Answer{"ch": assess.Challenge, "ho": assess.Hold, "de": assess.Deny, "eu": assess.Allow}[region]; first.Answer != want {
			t.Errorf("%s: %+v", region, first)
		}
		again, err := d.Assess(t.Context(), signUp(user), from("ho"))
		if err != nil || !cmp.Equal(again, first) {
			t.Errorf("%s: %+v, then %+v, %v", region, first, again, err)
		}
	}
	if err := os.WriteFile(d.file, []byte(`{"rules": [{"name": "all", "at": ["sign_up"], "then": "deny"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Assess(t.Context(), signUp(1), assess.Facts{}); err != nil || v.Answer != assess.Challenge {
		t.Errorf("under new rules the first answer is %+v, %v", v, err)
	}
	if v, err := d.Assess(t.Context(), signUp(5), assess.Facts{}); err != nil || v.Answer != assess.Deny || v.Rule != "all" {
		t.Errorf("by new rules: %+v, %v", v, err)
	}
	var metered bytes.Buffer
	d.set.WritePrometheus(&metered)
	if !strings.Contains(metered.String(), `sluice_catalog_assess_verdicts_total{kind="sign_up",verdict="deny"} 2`) {
		t.Errorf("metrics: %s", metered.String())
	}
}

// A wrong file changes no rules.
func TestWrongRulesAreNotTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	if err := os.WriteFile(d.file, []byte(`{"rules": [{}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a wrong file: %v", err)
	}
	if v := d.passes(1, "ho"); v.Rule != "held" {
		t.Errorf("%+v", v)
	}
	if _, err := assess.New(assess.Config{File: d.file}); err == nil {
		t.Error("it starts with a wrong file")
	}
}

// An answer whose effect is rolled back was never given.
func TestAnswerIsInTheTransaction(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	v, err := d.Assess(t.Context(), signUp(1), from("ho"))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	err = db.Write(t.Context(), d.at(1).Writer(), "user", func(tx *sql.Tx) error {
		return errors.Join(d.Note(t.Context(), tx, signUp(1), v), stop)
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if again, err := d.Assess(t.Context(), signUp(1), from("eu")); err != nil || again.Answer != assess.Allow {
		t.Errorf("%+v, %v", again, err)
	}
	if got := d.queue(); len(got) != 0 {
		t.Errorf("it waits for a review: %q", got)
	}
	if _, err := d.Assess(t.Context(), assess.Case{Moment: assess.Application, Subject: 1}, assess.Facts{}); err == nil {
		t.Error("a moment at which nobody asks has an answer")
	}
}

// Many requests deny one case at once: there is one answer.
func TestDenialsAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			v, err := d.Assess(t.Context(), signUp(1), from("de"))
			if err == nil && v.Answer != assess.Deny {
				err = fmt.Errorf("%+v", v)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// The queue has all places, the longest waiting first, and each case until it is decided.
func TestQueue(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	places := map[string]bool{}
	for user := int64(1); user <= 11; user++ {
		region := []string{"ho", "ch", "eu"}[user%3]
		d.passes(user, region)
		p := d.at(user)
		places[p.Name] = true
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), "UPDATE assess_answers__ SET made_at = NOW(3) - INTERVAL ? MINUTE WHERE subject = ?", user/2, user); err != nil {
			t.Fatal(err)
		}
	}
	if len(places) != 2 {
		t.Fatalf("the users are in %v", places)
	}
	want := []string{"sign_up.10", "sign_up.9", "sign_up.6", "sign_up.7", "sign_up.4", "sign_up.3", "sign_up.1"} // 2, 5, 8 and 11 may go on
	if diff := cmp.Diff(want, d.queue()); diff != "" {
		t.Error(diff)
	}
	for _, cursor := range []string{"x", "1", "1.sign_up.0", "-1.sign_up.1", "01.sign_up.1", "1.order.1", "99999999999999999999.sign_up.1"} {
		if _, _, err := d.Queue(t.Context(), 3, cursor); !errors.Is(err, assess.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// Counts are of a network and a day.
func TestUsersOfNetwork(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	count := func(address string) int64 {
		t.Helper()
		f := d.OfNetwork(t.Context(), netip.MustParseAddr(address))
		n, known := f.Numbers[assess.NetworkUsers]
		if !known {
			t.Errorf("it is not known how many came from %s", address)
		}
		return n
	}
	if got := count("192.0.2.1"); got != 0 {
		t.Errorf("%d users at first", got)
	}
	for _, address := range []string{"192.0.2.1", "192.0.2.200", "192.0.3.1", "2001:db8::1"} {
		d.CountUser(t.Context(), netip.MustParseAddr(address))
	}
	if got := []int64{count("192.0.2.7"), count("192.0.3.7"), count("2001:db8:0:1::7"), count("2001:db8:1::7")}; !cmp.Equal(got, []int64{2, 1, 1, 0}) {
		t.Errorf("%d", got)
	}
	f := d.OfNetwork(t.Context(), netip.Addr{})
	d.CountUser(t.Context(), netip.Addr{})
	if len(f.Numbers)+len(f.Words) != 0 {
		t.Errorf("of no address: %+v", f)
	}
	p := d.databases.All(shard.Values)[0]
	if _, err := p.In(p.Writer()).ExecContext(t.Context(), "UPDATE assess_counts__ SET day = UTC_DATE() - INTERVAL 1 DAY"); err != nil {
		t.Fatal(err)
	}
	if got := count("192.0.2.7"); got != 0 {
		t.Errorf("%d users of yesterday count", got)
	}
	d.CountUser(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM assess_counts__").Scan(&rows); err != nil || rows != 1 || count("192.0.2.7") != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// Without MySQL nobody is let through unassessed, and nothing was done.
func TestAssessWithoutMySQL(t *testing.T) {
	t.Parallel()
	d := newDesk(t, byRegion)
	_ = d.databases.Close()
	if _, err := d.Assess(t.Context(), signUp(1), from("eu")); !errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("%v", err)
	}
	f := d.OfNetwork(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if _, known := f.Numbers[assess.NetworkUsers]; known || f.Words[assess.NetworkName] != "192.0.2.0/24" {
		t.Errorf("known of the network: %+v", f)
	}
}
