package seller_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/internal/webhook"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirEnv); dir != "" {
		beKilled(dir, os.Getenv(stepEnv))
	}
	goleak.VerifyTestMain(servicetest.Main(m))
}

// TestBooksAreThoseOfTheShop: the tables that all packages have are the same in each.
func TestBooksAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{outbox.Tables("seller"), task.Table("seller"), schedule.Table("seller"), replay.Table("seller")} {
		if err := seller.Schema().Makes(statements); err != nil {
			t.Error(err)
		}
	}
}

// file has sellers in two databases of two tables.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [{"first": 0, "last": 1023, "database": "a"}],
  "products": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [
    {"first": 0, "last": 255, "database": "a", "table": 0}, {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0}, {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

// sellers are those of a shop with databases of its own.
type sellers struct {
	*seller.Sellers

	t         *testing.T
	dir       string
	databases *place.Databases
	metrics   *metrics.Set
	keys      atomic.Int64
	others    *others
	assess    *assess.Assessments
}

func newSellers(t *testing.T) *sellers {
	t.Helper()
	return newSellersBy(t, "")
}

// newSellersBy are those of a shop that assesses who applies by rules.
func newSellersBy(t *testing.T, rules string) *sellers {
	t.Helper()
	return newSellersTo(t, rules, webhook.Config{Networks: loopback, Timeout: 10 * time.Second})
}

// loopback is where the receivers of webhooks are.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// newSellersTo are those of a shop that reaches some webhooks.
func newSellersTo(t *testing.T, rules string, to webhook.Config) *sellers {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.dsn": servicetest.MariaDB(t), "b.dsn": servicetest.MariaDB(t), "shards.json": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := account.CreateSecret(filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	d, secret, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{audit.Schema(), assess.Schema(), seller.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	o := &others{emails: map[ids.User]account.Email{}}
	sender := webhook.NewSender(to)
	t.Cleanup(sender.Close)
	s := &sellers{t: t, dir: dir, databases: d, others: o, metrics: metrics.NewSet()}
	cfg := seller.Config{Databases: d, Sealer: secret, Accounts: o, Messenger: messenger{o}, Sender: sender, Metrics: s.metrics}
	if rules != "" {
		file := filepath.Join(dir, "rules.json")
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		s.assess, err = assess.New(assess.Config{Databases: d, File: file, Index: secret.IndexMessage, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Assessor = s.assess
	}
	if s.Sellers = seller.New(cfg); rules != "" {
		s.assess.Register(assess.Application, s.Asker())
	}
	return s
}

// openDir opens the databases of a directory, in which other processes may work too.
func openDir(dir string) (*place.Databases, *account.Secret, error) {
	d, err := place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{
		MySQL: db.Config{ConnsMax: 8, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, nil, err
	}
	secret, err := account.ReadSecret(filepath.Join(dir, "secret"))
	return d, secret, err
}

// by is a user who asks under a new key.
func (s *sellers) by(user ids.User) seller.Caller {
	return seller.Caller{
		Author: audit.Author{Actor: fmt.Sprintf("ops:%d", user), Origin: "a test"}, User: user, Key: fmt.Sprint("k", s.keys.Add(1)),
	}
}

// canary is in everything that is personal.
const canary = "Kanarienvogel"

var application = seller.Application{
	LegalName: canary + " GmbH", LicenceNo: "HRB " + canary, Address: seller.Address{Country: "DE", Text: canary + "str. 1"},
	Documents: []seller.Document{{Kind: "licence", Key: canary + "/a.pdf", SHA256: strings.Repeat("0", 64)}},
}

func (s *sellers) apply(user ids.User) ids.Seller {
	s.t.Helper()
	of, err := s.Apply(s.t.Context(), s.by(user), application)
	if err != nil {
		s.t.Fatal(err)
	}
	return of.ID
}

// open opens a seller by two reviewers.
func (s *sellers) open(id ids.Seller) {
	s.t.Helper()
	for _, reviewer := range []ids.User{901, 902} {
		s.approve(reviewer, id)
	}
}

// approve has a reviewer claim and approve.
func (s *sellers) approve(reviewer ids.User, id ids.Seller) seller.Seller {
	s.t.Helper()
	of, err := s.Claim(s.t.Context(), s.by(reviewer), id)
	if err == nil {
		of, err = s.Decide(s.t.Context(), s.by(reviewer), id, web.Version(of.Version), seller.Decision{Approve: true, Reason: "good"})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return of
}

// codeOf is the code of a refusal.
func codeOf(err error) string {
	if p := new(problem.Problem); errors.As(err, &p) {
		return p.Kind.Code
	}
	return ""
}

// TestSellersAreInTheirPlaces makes sellers in all places, and finds the list of a user, and the queue, over all of them.
func TestSellersAreInTheirPlaces(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	var made []ids.Seller
	places := map[string]bool{}
	for user := ids.User(1); len(places) < 4; user++ {
		id := s.apply(user)
		places[s.databases.At(shard.OfValue(id.String())).Name] = true
		made = append(made, id)
	}
	waiting, next, err := s.Queue(t.Context(), queue.Cursor{}, 100)
	var found []ids.Seller
	for _, w := range waiting {
		found = append(found, w.ID)
	}
	slices.Sort(found)
	slices.Sort(made)
	if err != nil || next != (queue.Cursor{}) || !slices.Equal(found, made) {
		t.Errorf("the queue has %v, %v, want %v", found, err, made)
	}
	for i := 1; i < len(waiting); i++ {
		if waiting[i].AppliedAt.Before(waiting[i-1].AppliedAt) {
			t.Errorf("%v is behind %v", waiting[i], waiting[i-1])
		}
	}
	want := []ids.Seller{s.apply(7777), s.apply(7777), s.apply(7777)}
	var mine []seller.Membership
	for after := (queue.Cursor{}); ; {
		page, next, err := s.Mine(t.Context(), 7777, after, 1)
		if err != nil || len(page) != 1 || page[0].Role != "owner" {
			t.Fatalf("a page is %+v, %v", page, err)
		}
		if mine = append(mine, page...); next == (queue.Cursor{}) {
			break
		}
		after = next
	}
	for i := range mine {
		if len(mine) != 3 || !slices.Contains(want, mine[i].ID) || i > 0 && mine[i].AppliedAt.Before(mine[i-1].AppliedAt) {
			t.Errorf("by pages %+v, want %v", mine, want)
		}
	}
}

// TestOneReviewerClaims has many claim at once.
func TestOneReviewerClaims(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.apply(1)
	var claimed, refused atomic.Int64
	var group errgroup.Group
	for reviewer := ids.User(900); reviewer < 910; reviewer++ {
		group.Go(func() error {
			_, err := s.Claim(t.Context(), s.by(reviewer), id)
			switch {
			case err == nil:
				claimed.Add(1)
			case codeOf(err) == "review_claimed":
				refused.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || claimed.Load() != 1 || refused.Load() != 9 {
		t.Errorf("%d claimed it and %d were refused, %v", claimed.Load(), refused.Load(), err)
	}
}

// TestEachMoveIsTold goes all the way, and compares history, events and acts. None of them is personal, and no column has what is,
// but sealed.
func TestEachMoveIsTold(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.apply(1)
	s.open(id)
	at := web.Version(3)
	for _, to := range []seller.State{seller.StateSuspended, seller.StateOpen, seller.StateSuspended, seller.StateClosing, seller.StateClosed} {
		if _, err := s.Move(t.Context(), s.by(903), id, at-1, to, "on old sight"); codeOf(err) != "changed_since" {
			t.Error(to, err)
		}
		of, err := s.Move(t.Context(), s.by(903), id, at, to, "why "+string(to))
		if err != nil {
			t.Fatal(to, err)
		}
		at = web.Version(of.Version)
		if of, err := s.Move(t.Context(), s.by(903), id, at, to, "again"); err != nil || of.State != to { // no move, and no act
			t.Error(of, err)
		}
	}
	for _, to := range []seller.State{seller.StateOpen, seller.StateSuspended, seller.StateClosing} {
		if _, err := s.Move(t.Context(), s.by(903), id, at, to, "back"); codeOf(err) != "wrong_state" {
			t.Errorf("from closed to %s: %v", to, err)
		}
	}
	want := "applied in_review open suspended open suspended closing closed"
	r, err := s.Review(t.Context(), id)
	var told []string
	for i, m := range r.History {
		told = append(told, string(m.To))
		if i > 0 && (m.From != r.History[i-1].To || !strings.HasPrefix(m.Actor, "ops:90")) || i > 2 && m.Reason != "why "+string(m.To) {
			t.Errorf("the history has %+v", m)
		}
	}
	if got := strings.Join(told, " "); err != nil || got != want || r.Application.LegalName != application.LegalName {
		t.Errorf("the history is %s, %v, want %s", got, err, want)
	}
	p := s.databases.At(shard.OfValue(id.String()))
	var states []string
	err = db.Rows(t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
		var data string
		err := row.Scan(&data)
		_, state, _ := strings.Cut(data, `{"state":"`)
		state, rest, _ := strings.Cut(state, `"`)
		states = append(states, state)
		if strings.Contains(rest, `"new_orders":true`) != (state == "open") {
			t.Errorf("the event %s", data)
		}
		return err
	}, "SELECT data FROM seller_outbox__ WHERE type = 'seller_moved' AND aggregate_id = ? ORDER BY version", id.String())
	if got := strings.Join(states, " "); err != nil || got != want {
		t.Errorf("the events tell of %s, %v, want %s", got, err, want)
	}
	acts, _, err := audit.NewReader(s.databases).Search(t.Context(), audit.Filter{Object: "seller:" + id.String()}, audit.Page{Limit: 50})
	if err != nil || len(acts) != 9 { // two claims, two approvals, five moves
		t.Errorf("%d acts, %v", len(acts), err)
	}
	s.lacks(canary)
}

// lacks looks for a text in all columns of all tables.
func (s *sellers) lacks(text string) {
	s.t.Helper()
	for _, p := range s.databases.All(shard.Values) {
		var columns [][2]string
		err := db.Rows(s.t.Context(), p.Writer(), func(row *sql.Rows) error {
			var c [2]string
			err := row.Scan(&c[0], &c[1])
			columns = append(columns, c)
			return err
		}, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()")
		if err != nil || len(columns) < 50 {
			s.t.Fatal(len(columns), err)
		}
		for _, c := range columns {
			var n int
			query := "SELECT COUNT(*) FROM `" + c[0] + "` WHERE INSTR(CAST(`" + c[1] + "` AS BINARY), ?) > 0"
			if err := p.Writer().QueryRowContext(s.t.Context(), query, text).Scan(&n); err != nil || n != 0 {
				s.t.Errorf("%s.%s has it %d times, %v", c[0], c[1], n, err)
			}
		}
	}
}

// TestSealedElsewhere: what is sealed for a seller opens for no other.
func TestSealedElsewhere(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	a, b := s.apply(1), s.apply(1)
	pa, pb := s.databases.At(shard.OfValue(a.String())), s.databases.At(shard.OfValue(b.String()))
	var sealed []byte
	if err := pa.In(pa.Writer()).QueryRowContext(t.Context(), "SELECT application FROM sellers__ WHERE seller_id = ?", a).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := pb.In(pb.Writer()).ExecContext(t.Context(), "UPDATE sellers__ SET application = ? WHERE seller_id = ?", sealed, b); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Application(t.Context(), seller.Reader{User: 1}, b); err == nil {
		t.Errorf("opened as %+v", got)
	}
}
