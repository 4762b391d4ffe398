package price_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/web"
	"sluice/catalog/price"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
)

// TestPricesOfSellers sets prices, and looks at what their seller, shoppers and others see.
func TestPricesOfSellers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx, id := t.Context(), productIn(300, 1)
	first := s.mustSet(id, 1, list(2000))
	if first.Version != 2 || len(first.Prices) != 1 || first.Prices[0].ID < 1 {
		t.Fatalf("the first prices are %+v", first)
	}
	begun := first.Prices[0].From
	if now := s.now(id); begun.After(now) || now.Sub(begun) > time.Minute {
		t.Errorf("a price without a beginning begins at %v, and it is %v", begun, now)
	}
	soon := begun.Add(time.Hour)
	reduced := price.Wish{Kind: price.KindPromotion, Price: eur(1500), From: soon, To: soon.Add(time.Hour)}
	members := price.Wish{Kind: price.KindMember, Level: 2, Price: eur(1800)}
	inApp := price.Wish{Kind: price.KindList, Channel: "app", Price: eur(1900)}
	second := s.mustSet(id, 2, append(again(first), reduced, members, inApp)...)
	if same := s.mustSet(id, 3, again(second)...); same.Version != 3 {
		t.Errorf("prices as they are have the version %d", same.Version)
	}
	refused := func(want string, from int64, wishes ...price.Wish) {
		t.Helper()
		if _, err := s.set(id, from, wishes...); codeOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refused("changed_since", 2, again(second)...)
	refused("wrong_state", 3, again(second)[1:]...) // without the list price, which has begun
	cheaper := again(second)
	cheaper[0].Price = eur(1)
	refused("wrong_state", 3, cheaper...)
	refused("price_contradicts", 3, append(again(second), list(2100))...)
	past := list(2100)
	past.Channel, past.From = "web", begun.Add(-time.Second)
	refused("wrong_state", 3, append(again(second), past)...)
	dear := list(2100)
	dear.Channel, dear.Price = "web", eur(100_000_001)
	refused("malformed", 3, append(again(second), dear)...)
	strange := again(second)
	strange[0].ID = 77
	refused("malformed", 3, strange...)

	shown, err := s.OfProduct(ctx, id, "de", "")
	if err != nil || len(shown.Shown) != 1 || shown.Shown[0].SKU != skuOf(id, 0) || shown.Shown[0].Unit.Price != eur(2000) || !shown.Shown[0].Until.Equal(soon) {
		t.Errorf("shoppers see %+v, %v", shown, err)
	} else if m := shown.Shown[0].Members; len(m) != 1 || m[0] != (price.Member{Level: 2, Price: eur(1800)}) {
		t.Errorf("members see %+v", m)
	}
	if shown, err := s.OfProduct(ctx, id, "de", "app"); err != nil || len(shown.Shown) != 1 || shown.Shown[0].Unit.Price != eur(1900) {
		t.Errorf("in the app shoppers see %+v, %v", shown, err)
	}
	if shown, err := s.OfProduct(ctx, id, "cn", ""); err != nil || len(shown.Shown) != 0 {
		t.Errorf("in another market shoppers see %+v, %v", shown, err)
	}
	reader := seller.Reader{User: 11}
	if of, err := s.OfSeller(ctx, reader, mine, id, skuOf(id, 0), "de"); err != nil || of.Version != 3 || len(of.Prices) != 4 {
		t.Errorf("the seller sees %+v, %v", of, err)
	}
	if of, err := s.OfSeller(ctx, reader, mine, id, skuOf(id, 1), "de"); err != nil || of.Version != 1 || len(of.Prices) != 0 {
		t.Errorf("of another SKU the seller sees %+v, %v", of, err)
	}
	changes, more, err := s.Changes(ctx, reader, mine, id, skuOf(id, 0), "de", 0, 1)
	if err != nil || !more || len(changes) != 1 || changes[0].Version != 3 || changes[0].Actor != "shopper:11" || len(changes[0].Prices) != 4 {
		t.Errorf("the last change is %+v, %v, %v", changes, more, err)
	}
	if changes, more, err := s.Changes(ctx, reader, mine, id, skuOf(id, 0), "de", 3, 1); err != nil || more || len(changes) != 1 || changes[0].Version != 2 || len(changes[0].Prices) != 1 {
		t.Errorf("the first change is %+v, %v, %v", changes, more, err)
	}
	events := s.events(id)
	if len(events) != 2 || events[0].Version != 1 || len(events[0].Prices) != 1 || events[1].Version != 2 || len(events[1].Prices) != 4 {
		t.Errorf("others are told %+v", events)
	}
}

// TestWhoSetsPrices: only the people of a seller that is open set prices, of SKUs of its own. Others see nothing of them.
func TestWhoSetsPrices(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx, id := t.Context(), productIn(2, 5)
	try := func(want, market string, user ids.User, of ids.Seller, id ids.Product, sku int64) {
		t.Helper()
		by := s.by()
		by.User = user
		_, err1 := s.SetPrices(ctx, by, of, id, sku, market, 1, []price.Wish{list(100)})
		_, err2 := s.OfSeller(ctx, seller.Reader{User: user}, of, id, sku, market)
		_, _, err3 := s.Changes(ctx, seller.Reader{User: user}, of, id, sku, market, 0, 1)
		for _, err := range []error{err1, err2, err3} {
			if codeOf(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
	try("unknown_seller", "de", 12, mine, id, skuOf(id, 0))
	try("unknown_seller", "de", 11, 2, id, skuOf(id, 0))
	try("unknown_market", "xx", 11, mine, id, skuOf(id, 0))
	try("unknown_product", "de", 11, mine, 999, skuOf(999, 0))
	try("unknown_sku", "de", 11, mine, id, skuOf(id, 4))
	try("unknown_sku", "de", 11, mine, id, skuOf(id+1, 0))
	s.suspended.Store(true)
	if _, err := s.set(id, 1, list(100)); codeOf(err) != "wrong_state" {
		t.Errorf("a seller that is suspended: %v", err)
	}
	if _, err := s.OfProduct(ctx, 998, "de", ""); codeOf(err) != "unknown_product" {
		t.Errorf("a product that is not listed: %v", err)
	}
}

// TestNoPriceWithoutATax: goods whose tax category has no rate in a market get no price there, and are shown with none. What they have may end.
func TestNoPriceWithoutATax(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx, id := t.Context(), productIn(600, 4)
	of := s.mustSet(id, 1, list(2000))
	if shown, err := s.OfProduct(ctx, id, "de", ""); err != nil || len(shown.Shown) != 1 {
		t.Fatalf("shoppers see %+v, %v", shown, err)
	}
	s.untaxed.Store(true)
	if shown, err := s.OfProduct(ctx, id, "de", ""); err != nil || len(shown.Shown) != 0 {
		t.Errorf("without a rate shoppers see %+v, %v", shown, err)
	}
	ask := price.Ask{User: 7, Market: "de", Items: []price.Want{{SKU: skuOf(id, 0), Quantity: 1}}}
	if _, err := s.Quote(ctx, ask); codeOf(err) != "no_price" {
		t.Errorf("without a rate a quote is %v", err)
	}
	app := list(1900)
	app.Channel = "app"
	if _, err := s.set(id, 2, append(again(of), app)...); codeOf(err) != "wrong_state" {
		t.Errorf("without a rate a new price is %v", err)
	}
	end := again(of)
	end[0].To = s.now(id).Add(time.Hour)
	s.mustSet(id, 2, end...)
}

// TestAnswersAreForgotten: the kept answers of an erased user leave all places, and those of others stay.
func TestAnswersAreForgotten(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	kept := func(user ids.User) (places int) {
		t.Helper()
		for _, p := range s.databases.All(s.Work().Kind) {
			var has bool
			if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) > 0 FROM price_replays__ WHERE user_id = ?", user).Scan(&has); err != nil {
				t.Fatal(err)
			}
			if has {
				places++
			}
		}
		return places
	}
	for n := range uint16(4) {
		s.mustSet(productIn(n*256, 8), 1, list(100))
	}
	if n := kept(11); n != 4 {
		t.Fatalf("%d places have answers", n)
	}
	for _, user := range []ids.User{12, 11, 11} {
		if err := s.Forget(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		if n := kept(11); user == 12 && n != 4 || user == 11 && n != 0 {
			t.Errorf("after %d was erased, %d places have answers of 11", user, n)
		}
	}
}

// TestFirstPricesAreSetOnce: of many who set the first prices at once, one does.
func TestFirstPricesAreSetOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := productIn(700, 1)
	var done, refused atomic.Int64
	var setting errgroup.Group
	for n := range 8 {
		setting.Go(func() error {
			_, err := s.set(id, 1, list(int64(100+n)))
			switch {
			case err == nil:
				done.Add(1)
			case codeOf(err) == "changed_since":
				refused.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	if err := setting.Wait(); err != nil || done.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d set prices, and %d are refused: %v", done.Load(), refused.Load(), err)
	}
	by := s.by()
	for range 2 { // a repetition has the first answer
		of, err := s.SetPrices(t.Context(), by, mine, id, skuOf(id, 1), "de", 1, []price.Wish{list(500)})
		if err != nil || of.Version != 2 {
			t.Errorf("%+v, %v", of, err)
		}
	}
	if _, err := s.SetPrices(t.Context(), by, mine, id, skuOf(id, 1), "de", 1, []price.Wish{list(501)}); codeOf(err) != "mismatch" {
		t.Errorf("another request under the key: %v", err)
	}
}

// TestScheduledChangesAreToldOnTime schedules promotions that begin soon. Two processes tell others of each moment once, and not before
// it is there by the time of the database.
func TestScheduledChangesAreToldOnTime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var all []ids.Product
	for n := range 12 {
		id := productIn(uint16(n*80), 7)
		for lead := 300 * time.Millisecond; ; lead *= 2 {
			from := s.now(id).Add(lead)
			_, err := s.set(id, 1, list(2000), price.Wish{Kind: price.KindPromotion, Price: eur(1500), From: from, To: from.Add(200 * time.Millisecond)})
			if err == nil {
				break
			}
			if codeOf(err) != "wrong_state" || lead > time.Minute { // this machine may need longer to set them than they are ahead
				t.Fatal(err)
			}
		}
		all = append(all, id)
	}
	s.work()
	s.work()
	for _, id := range all {
		s.await("all is told", func() bool { return len(s.events(id)) >= 3 })
		events := s.events(id)
		promotion := events[0].Prices[1]
		for i, want := range []struct {
			at     time.Time
			prices int
		}{{events[0].Prices[0].From, 2}, {promotion.From, 2}, {promotion.To, 1}} {
			e := events[i]
			if !e.At.Equal(want.at) || len(e.Prices) != want.prices || e.Version != uint64(i+1) || e.Written.Before(e.At) {
				t.Errorf("event %d of %s is %+v, want one as of %v", i, id, e, want.at)
			}
		}
		if len(events) != 3 {
			t.Errorf("%s has %d events", id, len(events))
		}
	}
}

// TestScheduledChangesAfterAnOutage: nobody ran for days, in which a promotion began and ended. Each moment is told, once, in its order, by
// whichever of two processes comes first, or by the next change of the prices.
func TestScheduledChangesAfterAnOutage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	away := func(id ids.Product) (begins, ends time.Time) {
		t.Helper()
		soon := s.now(id).Add(time.Hour)
		of := s.mustSet(id, 1, list(2000), price.Wish{Kind: price.KindPromotion, Price: eur(1500), From: soon, To: soon.Add(time.Hour)})
		for i := range of.Prices {
			of.Prices[i].From = of.Prices[i].From.AddDate(0, 0, -3)
			if !of.Prices[i].To.IsZero() {
				of.Prices[i].To = of.Prices[i].To.AddDate(0, 0, -3)
			}
		}
		text, err := json.Marshal(of.Prices)
		if err != nil {
			t.Fatal(err)
		}
		s.exec(id, "UPDATE prices__ SET ranges = ?, told_at = told_at - INTERVAL 3 DAY WHERE sku_id = ?", text, skuOf(id, 0))
		s.exec(id, "UPDATE price_tasks__ SET due_at = due_at - INTERVAL 3 DAY WHERE name LIKE ?", fmt.Sprintf("%d%%", skuOf(id, 0)))
		return of.Prices[1].From, of.Prices[1].To
	}
	check := func(id ids.Product, begins, ends time.Time, more int) {
		t.Helper()
		events := s.events(id)
		if len(events) != 3+more || !events[1].At.Equal(begins) || !events[2].At.Equal(ends) || len(events[1].Prices) != 2 || len(events[2].Prices) != 1 {
			t.Errorf("%s: others are told %+v", id, events)
		}
		for i, e := range events {
			if e.Version != uint64(i+1) {
				t.Errorf("%s: event %d has the version %d", id, i, e.Version)
			}
		}
	}
	changed := productIn(900, 3)
	begins, ends := away(changed)
	of, err := s.OfSeller(t.Context(), seller.Reader{User: 11}, mine, changed, skuOf(changed, 0), "de")
	if err != nil {
		t.Fatal(err)
	}
	s.mustSet(changed, 2, append(again(of), price.Wish{Kind: price.KindMember, Level: 1, Price: eur(1900)})...)
	check(changed, begins, ends, 1)
	id := productIn(100, 3)
	begins1, ends1 := away(id)
	s.work()
	s.work()
	s.await("all is told", func() bool { return len(s.events(id)) >= 3 })
	s.await("no task is left", func() bool {
		left := 0
		for _, p := range []ids.Product{id, changed} {
			var n int
			if err := s.at(p).In(s.at(p).Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM price_tasks__").Scan(&n); err != nil {
				t.Fatal(err)
			}
			left += n
		}
		return left == 0
	})
	check(id, begins1, ends1, 0)
	check(changed, begins, ends, 1)
}

// TestSnapshotsOfPrices: page by page a snapshot says what the last event did.
func TestSnapshotsOfPrices(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for n := range 9 {
		id := productIn(uint16(n*110), 2)
		of := s.mustSet(id, 1, list(2000))
		if n%2 == 0 {
			s.mustSet(id, 2, append(again(of), price.Wish{Kind: price.KindPromotion, Price: eur(1000), To: s.now(id).Add(time.Hour)})...)
		}
		if _, err := s.SetPrices(t.Context(), s.by(), mine, id, skuOf(id, 1), "de", web.Version(1), []price.Wish{list(3000)}); err != nil {
			t.Fatal(err)
		}
	}
	want, got := map[string]string{}, map[string]string{}
	for _, p := range s.databases.All(s.Work().Kind) {
		err := db.Rows(t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
			var id string
			var data []byte
			err := row.Scan(&id, &data)
			want[id] = string(data)
			return err
		}, "SELECT aggregate_id, data FROM price_outbox__ ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
	}
	for after := (outbox.Cursor{}); ; {
		page, next, err := s.Snapshot(t.Context(), after, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range page {
			text, err := json.Marshal(of.Data)
			if err != nil {
				t.Fatal(err)
			}
			got[of.Aggregate] = string(text)
		}
		if after, err = price.ParseSnapshotCursor(next.String()); err != nil || after != next {
			t.Errorf("%s is read as %s, %v", next, after, err)
		}
		if next == (outbox.Cursor{}) {
			break
		}
	}
	for _, text := range []string{"x", "-1.", "01.", "1", ".", "0.5", "10000.", "0.1", "0.1_", "0.01_de", "0._de", "0.1_DE", "0.9223372036854775808_de"} {
		if c, err := price.ParseSnapshotCursor(text); err == nil {
			t.Errorf("%q is read as %s", text, c)
		}
	}
	if len(want) != 18 || len(got) != 18 {
		t.Errorf("%d stand, and %d have events", len(got), len(want))
	}
	for id := range want {
		if want[id] != got[id] {
			t.Errorf("%s stands as %s, and its last event said %s", id, got[id], want[id])
		}
	}
}

// TestSettersAndTellersMeet changes prices by many at once while others are told of moments. Versions have no gaps, and each moment is told.
func TestSettersAndTellersMeet(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := productIn(500, 9)
	s.mustSet(id, 1, list(2000))
	s.work()
	s.work()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var setting errgroup.Group
	for n := range 4 {
		dice := rand.New(rand.NewPCG(seed, uint64(n)))
		setting.Go(func() error {
			for done := 0; done < 5; {
				set, err := s.change(id, dice)
				if err != nil {
					return err
				}
				if set {
					done++
				}
			}
			return nil
		})
	}
	if err := setting.Wait(); err != nil {
		t.Fatal(err)
	}
	s.await("no task is left", func() (none bool) {
		row := s.at(id).In(s.at(id).Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) = 0 FROM price_tasks__")
		if err := row.Scan(&none); err != nil {
			t.Fatal(err)
		}
		return none
	})
	of, err := s.OfSeller(t.Context(), seller.Reader{User: 11}, mine, id, skuOf(id, 0), "de")
	if err != nil || len(of.Prices) != 21 {
		t.Fatalf("the prices are %+v, %v", of, err)
	}
	told := map[time.Time]int{}
	for i, e := range s.events(id) {
		if e.Version != uint64(i+1) {
			t.Fatalf("event %d has the version %d", i, e.Version)
		}
		told[e.At.UTC()]++
	}
	for _, r := range of.Prices {
		for _, moment := range []time.Time{r.From, r.To} {
			if n := told[moment.UTC()]; n == 0 && !moment.IsZero() {
				t.Errorf("nobody is told of %v", moment)
			}
		}
	}
}

// change adds a short promotion to prices as they are, and reports whether it did: somebody else may be first.
func (s *shop) change(id ids.Product, dice *rand.Rand) (bool, error) {
	of, err := s.OfSeller(s.t.Context(), seller.Reader{User: 11}, mine, id, skuOf(id, 0), "de")
	if err != nil {
		return false, err
	}
	from := s.now(id).Add(time.Duration(50+dice.IntN(500)) * time.Millisecond)
	short := price.Wish{Kind: price.KindPromotion, Price: eur(1000 + dice.Int64N(900)), From: from, To: from.Add(time.Duration(1+dice.IntN(5)) * time.Millisecond)}
	_, err = s.set(id, of.Version, append(again(of), short)...)
	switch codeOf(err) {
	case "changed_since", "price_contradicts", "wrong_state": // another one is in its way, or it took too long
		return false, nil
	}
	return err == nil, err
}
