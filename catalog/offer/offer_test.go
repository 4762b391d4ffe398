package offer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/offer"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/money"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// TestBooksAreThoseOfTheShop: the tables that all packages have are the same in each.
func TestBooksAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{outbox.Tables("offer"), task.Table("offer"), schedule.Table("offer"), replay.Table("offer")} {
		if err := offer.Schema().Makes(statements); err != nil {
			t.Error(err)
		}
	}
}

// file has offers in two databases, one of which has two tables.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [{"first": 0, "last": 1023, "database": "a"}],
  "products": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [{"first": 0, "last": 255, "database": "a", "table": 0}, {"first": 256, "last": 511, "database": "a", "table": 1}, {"first": 512, "last": 1023, "database": "b", "table": 0}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

const (
	mine   ids.Seller = 1
	theirs ids.Seller = 2
)

// sellers have one person each: 11 and 12.
type sellers struct{ suspended *atomic.Bool }

var errNobody = &problem.Problem{Kind: problem.NewKind(problem.Kind{Code: "unknown_seller", Status: 404})}

// Admit implements offer.Sellers.
func (s sellers) Admit(ctx context.Context, by seller.Reader, id ids.Seller) (seller.State, error) {
	if int64(by.User) != int64(id)+10 {
		return "", errNobody
	}
	return s.StateOf(ctx, id)
}

// StateOf implements offer.Sellers.
func (s sellers) StateOf(context.Context, ids.Seller) (seller.State, error) {
	if s.suspended.Load() {
		return seller.StateSuspended, nil
	}
	return seller.StateOpen, nil
}

// Selling implements offer.Sellers.
func (s sellers) Selling(_ context.Context, some []ids.Seller) (map[ids.Seller]bool, error) {
	all := map[ids.Seller]bool{}
	for _, id := range some {
		all[id] = !s.suspended.Load()
	}
	return all, nil
}

// goods are SKUs 1 to 9 of the first seller, and 11 to 19 of the second one.
type goods struct{ delisted *atomic.Bool }

// Sold implements offer.Goods.
func (g goods) Sold(_ context.Context, skus []int64) (map[int64]product.Sold, error) {
	all := map[int64]product.Sold{}
	for _, sku := range skus {
		if sku < 20 && sku%10 != 0 {
			all[sku] = product.Sold{Seller: ids.Seller(1 + sku/10), Listed: !g.delisted.Load()}
		}
	}
	return all, nil
}

// shop has the offers of a process with its databases.
type shop struct {
	*offer.Offers

	t                   *testing.T
	databases           *place.Databases
	keys                atomic.Int64
	suspended, delisted atomic.Bool
}

func newShop(t *testing.T) *shop {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.dsn": servicetest.MariaDB(t), "b.dsn": servicetest.MariaDB(t), "shards.json": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{
		MySQL: db.Config{ConnsMax: 8, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{audit.Schema(), offer.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, databases: d}
	s.Offers = s.process()
	return s
}

// process are the offers of another process.
func (s *shop) process() *offer.Offers {
	return offer.New(offer.Config{Databases: s.databases, Sellers: sellers{&s.suspended}, Goods: goods{&s.delisted}})
}

// as is a user who asks under a new key.
func (s *shop) as(user ids.User) offer.Caller {
	return offer.Caller{Author: audit.Author{Actor: audit.Of("shopper", int64(user)), Origin: "a test"}, User: user, Key: fmt.Sprint("k", s.keys.Add(1))}
}

func summer(t *testing.T, opens time.Time, skus ...int64) offer.Content {
	t.Helper()
	eur, err := money.In("EUR")
	if err != nil {
		t.Fatal(err)
	}
	c := offer.Content{
		Market: "de", Currency: eur, Texts: map[string]offer.Text{"en": {Title: "Summer"}},
		OpensAt: opens.UTC().Truncate(time.Millisecond), Rules: offer.Rules{Limit: 2, HoldS: 900},
	}
	c.ClosesAt = c.OpensAt.Add(time.Hour)
	for _, sku := range skus {
		c.Items = append(c.Items, offer.Item{SKU: sku, Units: 10, Price: 1999})
	}
	return c
}

// codeOf is the code of a refusal.
func codeOf(err error) string {
	if p := new(problem.Problem); errors.As(err, &p) {
		return p.Kind.Code
	}
	return fmt.Sprint(err)
}

// done is the offer after something that has to succeed.
func (s *shop) done(of offer.Offer, err error) offer.Offer {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return of
}

// approved makes an offer that a reviewer has approved.
func (s *shop) approved(opens time.Time) offer.Offer {
	s.t.Helper()
	ctx := s.t.Context()
	of := s.done(s.Make(ctx, s.as(11), mine, summer(s.t, opens, 1, 2)))
	of = s.done(s.Move(ctx, s.as(11), mine, of.ID, web.Version(of.Version), offer.StageInReview))
	s.done(s.Claim(ctx, s.as(7), of.ID))
	return s.done(s.Decide(ctx, s.as(7), of.ID, web.Version(of.Version), offer.Decision{Approve: true, Reason: "agrees"}))
}

// count counts rows in all places.
func (s *shop) count(from string, values ...any) (n int) {
	s.t.Helper()
	for _, p := range s.databases.All(shard.Values) {
		var here int
		if err := p.In(p.Writer()).QueryRowContext(s.t.Context(), "SELECT COUNT(*) FROM "+from, values...).Scan(&here); err != nil {
			s.t.Fatal(err)
		}
		n += here
	}
	return n
}

// TestTheSameRequestMakesOneOffer sends each request many times at once, to two processes. Each makes one offer, in the place that the
// id of the offer says, with its events.
func TestTheSameRequestMakesOneOffer(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	processes := []*offer.Offers{s.Offers, s.process()}
	var making errgroup.Group
	const offers = 12
	var made [offers]atomic.Int64
	var contents [offers]offer.Content
	for i := range offers {
		by := s.as(11)
		contents[i] = summer(t, time.Now(), 1)
		for n := range 6 {
			making.Go(func() error {
				of, err := processes[n%2].Make(t.Context(), by, mine, contents[i])
				for codeOf(err) == "in_progress" { // until the first one has committed
					of, err = processes[n%2].Make(t.Context(), by, mine, contents[i])
				}
				if err != nil {
					return err
				}
				if before := made[i].Swap(int64(of.ID)); before != 0 && before != int64(of.ID) {
					return fmt.Errorf("request %d made %d and %s", i, before, of.ID)
				}
				return nil
			})
		}
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
	if rows, events := s.count("offers__"), s.count("offer_outbox__"); rows != offers || events != offers {
		t.Errorf("%d offers and %d events, want %d", rows, events, offers)
	}
	for i := range made {
		if of, err := s.OfSeller(t.Context(), seller.Reader{User: 11}, mine, ids.Offer(made[i].Load())); err != nil || of.Seller != mine {
			t.Errorf("offer %d: %v, %v", i, of, err)
		}
	}
	var seen int
	for after := ids.Offer(0); ; {
		page, more, err := s.List(t.Context(), seller.Reader{User: 11}, mine, after, 5)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(page)
		if !more {
			break
		}
		after = page[len(page)-1].ID
	}
	if seen != offers {
		t.Errorf("the list has %d offers, want %d", seen, offers)
	}
}

// TestOneDecision has reviewers decide at once. One of them does, and the others are told.
func TestOneDecision(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx := t.Context()
	of := s.done(s.Make(ctx, s.as(11), mine, summer(t, time.Now(), 1)))
	of = s.done(s.Move(ctx, s.as(11), mine, of.ID, web.Version(of.Version), offer.StageInReview))
	var deciding errgroup.Group
	var decided atomic.Int64
	for reviewer := range ids.User(8) {
		by, decides := s.as(100+reviewer), s.as(100+reviewer)
		deciding.Go(func() error {
			if _, err := s.Claim(ctx, by, of.ID); err != nil {
				if code := codeOf(err); code != "review_claimed" && code != "wrong_state" {
					return err
				}
				return nil
			}
			_, err := s.Decide(ctx, decides, of.ID, web.Version(of.Version), offer.Decision{Approve: true, Reason: "agrees"})
			if err == nil {
				decided.Add(1)
			}
			return err
		})
	}
	if err := deciding.Wait(); err != nil || decided.Load() != 1 {
		t.Errorf("%d have decided, %v", decided.Load(), err)
	}
	if moves := s.count("offer_moves__ WHERE became = 'approved'"); moves != 1 {
		t.Errorf("%d moves, want 1", moves)
	}
}

// TestForeignAndUnlistedSKUs: nobody offers what another seller has, and a review asks whether shoppers see the goods.
func TestForeignAndUnlistedSKUs(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx := t.Context()
	for _, sku := range []int64{11, 77} {
		if _, err := s.Make(ctx, s.as(11), mine, summer(t, time.Now(), 1, sku)); codeOf(err) != "unknown_sku" {
			t.Errorf("SKU %d: %v", sku, err)
		}
	}
	of := s.done(s.Make(ctx, s.as(11), mine, summer(t, time.Now(), 1)))
	if _, err := s.Change(ctx, s.as(11), mine, of.ID, 1, summer(t, time.Now(), 11)); codeOf(err) != "unknown_sku" {
		t.Errorf("a change: %v", err)
	}
	for name, err := range map[string]error{
		"of another seller": func() error {
			_, err := s.Change(ctx, s.as(12), theirs, of.ID, 1, summer(t, time.Now(), 11))
			return err
		}(),
		"moved by another seller": func() error {
			_, err := s.Move(ctx, s.as(12), theirs, of.ID, 1, offer.StageInReview)
			return err
		}(),
	} {
		if codeOf(err) != "unknown_offer" {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.delisted.Store(true)
	if _, err := s.Move(ctx, s.as(11), mine, of.ID, 1, offer.StageInReview); codeOf(err) != "incomplete" {
		t.Errorf("a review: %v", err)
	}
	s.delisted.Store(false)
	s.done(s.Move(ctx, s.as(11), mine, of.ID, 1, offer.StageInReview))
	s.done(s.Claim(ctx, s.as(7), of.ID))
	s.delisted.Store(true)
	if _, err := s.Decide(ctx, s.as(7), of.ID, 2, offer.Decision{Approve: true, Reason: "agrees"}); codeOf(err) != "incomplete" {
		t.Errorf("an approval: %v", err)
	}
	s.done(s.Decide(ctx, s.as(7), of.ID, 2, offer.Decision{Reason: "it is gone"}))
	old := s.done(s.Make(ctx, s.as(11), mine, summer(t, time.Now().Add(-2*time.Hour), 1)))
	s.delisted.Store(false)
	if _, err := s.Move(ctx, s.as(11), mine, old.ID, 1, offer.StageInReview); codeOf(err) != "incomplete" {
		t.Errorf("a review of what is over: %v", err)
	}
	if acts := s.count("audit_entries__ WHERE act IN ('offer.claim', 'offer.reject')"); acts != 2 {
		t.Errorf("%d acts, want 2", acts)
	}
}

// TestOthersHearWhatShoppersSee: events have the content of an offer while shoppers see it.
func TestOthersHearWhatShoppersSee(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	of := s.approved(time.Now().Add(time.Hour))
	s.done(s.Overrule(t.Context(), s.as(7), of.ID, web.Version(of.Version), offer.StageWithdrawn, "complaint"))
	if events, versions := s.count("offer_outbox__"), s.count("offer_versions__ WHERE version = 4"); events != 4 || versions != 1 {
		t.Errorf("%d events and %d versions", events, versions)
	}
	if telling := s.count("offer_outbox__ WHERE CONVERT(data USING utf8mb4) LIKE '%Summer%'"); telling != 1 {
		t.Errorf("%d events tell what it is, want 1", telling)
	}
	moves, err := s.Moves(t.Context(), seller.Reader{User: 11}, mine, of.ID)
	var said []string
	for _, m := range moves {
		said = append(said, fmt.Sprintf("%d %s %s %s", m.Version, m.From, m.To, m.Reason))
	}
	if got := strings.Join(said, ", "); err != nil || got != "4 approved withdrawn complaint, 3 in_review approved agrees, 2 draft in_review " {
		t.Errorf("the moves are %q, %v", got, err)
	}
}

// TestComing lists offers of all places in the order in which they open, and those of sellers who sell.
func TestComing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const offers = 5
	for i := range offers {
		s.approved(time.Now().Add(time.Duration((i*3)%offers+1) * time.Hour))
	}
	over := s.approved(time.Now())
	for _, p := range s.databases.All(shard.Values) {
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), "UPDATE offers__ SET opens_at = opens_at - INTERVAL 1 DAY, closes_at = NOW(3) WHERE offer_id = ?", over.ID); err != nil {
			t.Fatal(err)
		}
	}
	var last time.Time
	seen := 0
	for after := (queue.Cursor{}); ; {
		page, next, err := s.Coming(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range page {
			if of.OpensAt.Before(last) {
				t.Errorf("%v is after %v", of.OpensAt, last)
			}
			last = of.OpensAt
			seen++
		}
		if after = next; next == (queue.Cursor{}) {
			break
		}
	}
	if seen != offers {
		t.Errorf("%d offers come, want %d", seen, offers)
	}
	s.suspended.Store(true)
	if page, _, err := s.Coming(t.Context(), queue.Cursor{}, 10); err != nil || len(page) != 0 {
		t.Errorf("of a suspended seller come %d, %v", len(page), err)
	}
}

// TestErasedUsersAreForgotten: their answers are, and nothing else.
func TestErasedUsersAreForgotten(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.approved(time.Now().Add(time.Hour))
	for range 2 {
		if err := s.Forget(t.Context(), 11); err != nil {
			t.Fatal(err)
		}
	}
	if left, offers := s.count("offer_replays__ WHERE user_id = 11"), s.count("offers__"); left != 0 || offers != 1 {
		t.Errorf("%d answers and %d offers are left", left, offers)
	}
}
