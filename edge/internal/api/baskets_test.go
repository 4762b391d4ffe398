package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// basketOf is the body of a basket of a unit of each SKU.
func basketOf(skus ...int64) string {
	var items []string
	for _, sku := range skus {
		items = append(items, fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku))
	}
	return `{"items":[` + strings.Join(items, ",") + `]}`
}

func TestBaskets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const skus = 6 // in all partitions
	for sku := int64(1); sku <= skus; sku++ {
		f.load(stock.Cell{SKU: sku}, 3, nil)
	}
	f.load(stock.Cell{SKU: 1, Pool: 5}, 3, nil)
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	const mixed = `{"items":[{"sku_id":"6","quantity":1},{"sku_id":"1","quantity":1},{"sku_id":"6","quantity":1},{"sku_id":"1","sale_id":"5","quantity":2}]%s}`
	ask := call{method: "POST", path: "/v1/baskets", token: shopper, key: "k", body: fmt.Sprintf(mixed, "")}
	got := f.do(ask)
	list, _ := got.json["reservations"].([]any)
	if got.status != 201 || got.json["state"] != "held" || got.json["expires_at"] == nil || len(list) != 3 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for i, want := range []string{"6 2 <nil>", "1 1 <nil>", "1 2 5"} {
		r := list[i].(map[string]any)
		if line := fmt.Sprint(r["sku_id"], " ", r["quantity"], " ", r["sale_id"]); line != want || r["state"] != "held" || r["user_id"] != nil {
			t.Errorf("reservation %d is %v, want %s", i, r, want)
		}
	}
	if again := f.do(ask); again.body != got.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	other := call{method: "POST", path: "/v1/baskets", token: service, key: "k", body: fmt.Sprintf(mixed, `,"user_id":"8"`)}
	if got := f.do(other); got.status != 409 || got.code() != "sold_out" || got.json["pointer"] != "/items/0" || got.json["detail"] != detailSpent {
		t.Errorf("%d %s", got.status, got.body)
	}
	if s := f.state(stock.Cell{SKU: 1}); s.Held != 1 {
		t.Errorf("a refused basket holds %+v", s.Balances)
	}
	f.load(stock.Cell{SKU: 9}, 9, nil)
	first := list[0].(map[string]any)["reservation_id"].(string)
	if got := f.do(call{method: "POST", path: "/v1/reservations/" + first + "/release", token: shopper}); got.status != 200 {
		t.Errorf("release a line: %d %s", got.status, got.body)
	}
	if got := f.do(other); got.status != 409 || got.code() != "sold_out" {
		t.Errorf("a refused basket with units: %d %s", got.status, got.body)
	}
	if again := f.do(ask); again.status != 201 || !strings.Contains(again.body, `"state":"released"`) {
		t.Errorf("a held basket of which a line has ended: %d %s", again.status, again.body)
	}
	other.key = "new"
	if got := f.do(other); got.status != 409 || got.json["pointer"] != "/items/3" { // 1 of 3 of the sale is left
		t.Errorf("with a new key: %d %s", got.status, got.body)
	}
}

// TestRefusedBaskets sends wrong baskets and baskets that cannot be held: each refusal points to its place, and holds
// nothing.
func TestRefusedBaskets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const skus = 50
	for sku := int64(1); sku <= skus; sku++ {
		f.load(stock.Cell{SKU: sku}, 3, func(s *stock.Settings) {
			s.Frozen, s.Limit = sku == 48, 2
			if sku == 49 {
				s.ClosesAtMS = 1
			}
		})
	}
	f.unknown[stock.Cell{SKU: 77}] = true
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	var most []int64
	for sku := int64(1); sku <= 47; sku++ {
		most = append(most, sku)
	}
	try := func(token, body string, status int, code, pointer string) {
		t.Helper()
		got := f.do(call{method: "POST", path: "/v1/baskets", token: token, body: body})
		at, _ := got.json["pointer"].(string)
		if got.status != status || got.code() != code || at != pointer {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	try(shopper, `{"items":[]}`, 400, "malformed", "/items")
	try(shopper, `{}`, 400, "malformed", "/items")
	try(shopper, `{"items":null}`, 400, "malformed", "/items")
	try(shopper, `{"items":{}}`, 400, "malformed", "/items")
	try(shopper, `{"items":[7]}`, 400, "malformed", "")
	try(shopper, `{"items":[{"sku_id":"1"}]}`, 400, "malformed", "/items/0/quantity")
	try(shopper, `{"items":[{"sku_id":1,"quantity":1}]}`, 400, "malformed", "/items/0/sku_id")
	try(shopper, `{"items":[{"sku_id":"1","quantity":1},{"sku_id":"2","quantity":0}]}`, 400, "malformed", "/items/1/quantity")
	try(shopper, `{"items":[{"sku_id":"1","quantity":1,"price":1}]}`, 400, "malformed", "/items/0/price")
	try(shopper, `{"items":[{"sku_id":"1","quantity":600000},{"sku_id":"1","quantity":600000}]}`, 400, "malformed", "/items/1/quantity")
	try(shopper, basketOf(append(most, 1, 2, 3, 4)...), 400, "malformed", "/items")
	try(shopper, basketOf(append(most, 77)...), 404, "not_loaded", "/items/47")
	try(shopper, basketOf(append(most, 48)...), 503, "frozen", "/items/47")
	try(shopper, basketOf(append(most, 49)...), 410, "closed", "/items/47")
	try(shopper, `{"items":[{"sku_id":"1","quantity":1},{"sku_id":"2","quantity":3}]}`, 409, "limit_reached", "/items/1")
	try(shopper, `{"items":[{"sku_id":"1","quantity":1},{"sku_id":"1","sale_id":"5","quantity":1}]}`, 404, "not_loaded", "/items/1")
	try(shopper, strings.Replace(basketOf(1), "}]", `}],"user_id":"7"`, 1), 403, "forbidden", "/user_id")
	try(service, basketOf(1), 400, "malformed", "/user_id")
	try(f.token(1, auth.RoleAdmin), basketOf(1), 403, "forbidden", "")
	one := call{method: "POST", path: "/v1/baskets", token: shopper, key: "one", body: basketOf(1, 6)}
	if got := f.do(one); got.status != 201 {
		t.Fatalf("the first basket of a key: %d %s", got.status, got.body)
	}
	one.body = basketOf(1, 7)
	if got := f.do(one); got.status != 422 || got.code() != "mismatch" {
		t.Errorf("a key with other lines: %d %s", got.status, got.body)
	}
	only := newFixture(t, func(p *Parts) { p.SalesOnly = true })
	only.load(stock.Cell{SKU: 1, Pool: 5}, 3, nil)
	const inSale = `{"items":[{"sku_id":"1","sale_id":"5","quantity":1}]%s}`
	for token, want := range map[string]int{only.token(7, auth.RoleShopper): 403, only.token(1, auth.RoleService): 201} {
		body := fmt.Sprintf(inSale, "")
		if want == 201 {
			body = fmt.Sprintf(inSale, `,"user_id":"7"`)
		}
		if got := only.do(call{method: "POST", path: "/v1/baskets", token: token, body: body}); got.status != want {
			t.Errorf("in sales only: %d %s", got.status, got.body)
		}
	}
}

// TestBasketInTrouble lets calls fail. Only if the first one was not executed does the answer say that nothing was
// begun.
func TestBasketInTrouble(t *testing.T) {
	t.Parallel()
	for failing, want := range []int{503, 504} {
		f := newFixture(t)
		for sku := int64(1); sku <= 6; sku++ {
			f.load(stock.Cell{SKU: sku}, 3, nil)
		}
		n := 0
		f.part = func(op stock.Op, requests []stock.Request) ([]batch.Result, error) {
			if n++; n > failing {
				return nil, stock.ErrNotApplied
			}
			return f.parts(op, requests)
		}
		ask := call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), key: "k", body: basketOf(1, 2, 3, 4, 5, 6)}
		if failing == 1 {
			ask.body = basketOf(f.twoPartitions()...)
		}
		if got := f.do(ask); got.status != want {
			t.Errorf("call %d fails: %d %s", failing, got.status, got.body)
		}
		f.part = nil
		if got := f.do(ask); got.status != 201 {
			t.Errorf("later: %d %s", got.status, got.body)
		}
		for p := range partitions {
			if left, err := f.store.Undecided(context.Background(), p, 0, 0, 10); err != nil || len(left) > 0 {
				t.Errorf("undecided: %v, %v", left, err)
			}
		}
	}
}

// TestBetweenSteps checks that each API calls its own hook for the steps of its baskets.
func TestBetweenSteps(t *testing.T) {
	t.Parallel()
	var seen [2][]string
	for i := range seen {
		f := newFixture(t, func(p *Parts) { p.Between = func(stage string) { seen[i] = append(seen[i], stage) } })
		skus := f.twoPartitions()
		for _, sku := range skus {
			f.load(stock.Cell{SKU: sku}, 3, nil)
		}
		if got := f.do(call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), body: basketOf(skus...)}); got.status != 201 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	for _, stages := range seen {
		if want := []string{"home", "away", "decide"}; !slices.Equal(stages, want) {
			t.Errorf("told of %v, want %v", stages, want)
		}
	}
}

// TestPanicOfAPart panics in the decision of a part elsewhere: the edge goes on, and the basket is decided later.
func TestPanicOfAPart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for sku := int64(1); sku <= 6; sku++ {
		f.load(stock.Cell{SKU: sku}, 3, nil)
	}
	f.part = func(op stock.Op, requests []stock.Request) ([]batch.Result, error) {
		if requests[0].Part.Home == nil {
			panic("a part")
		}
		return f.parts(op, requests)
	}
	ask := call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), key: "k", body: basketOf(1, 2, 3, 4, 5, 6)}
	if got := f.do(ask); got.code() != "outcome_unknown" {
		t.Errorf("%d %s", got.status, got.body)
	}
	f.part = nil
	if got := f.do(ask); got.status != 201 {
		t.Errorf("later: %d %s", got.status, got.body)
	}
}

// TestBasketsWithoutAPartition have a line in a partition from which nobody can take. They are not begun, so their other line
// holds nothing, and their key is good once the partition is back.
func TestBasketsWithoutAPartition(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{batch.ErrSilent, stock.ErrShut} {
		f := newFixture(t)
		skus, baskets := f.twoPartitions(), int64(0)
		for _, sku := range skus {
			f.load(stock.Cell{SKU: sku}, 3, nil)
		}
		for _, sku := range skus {
			f.silent = map[int]error{(stock.Cell{SKU: sku}).Partition(partitions): cause}
			ask := call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), key: fmt.Sprint(sku), body: basketOf(skus...)}
			if got := f.do(ask); got.status != 503 || got.code() != "unavailable" || got.json["retryable"] != true || got.json["detail"] == detailSpent {
				t.Errorf("%v: %d %s", cause, got.status, got.body)
			}
			for _, sku := range skus {
				if held := f.state(stock.Cell{SKU: sku}).Held; held != baskets {
					t.Errorf("%v: %d units of SKU %d are held, want those of %d baskets", cause, held, sku, baskets)
				}
			}
			f.silent = nil
			baskets++
			if got := f.do(ask); got.status != 201 {
				t.Errorf("later: %d %s", got.status, got.body)
			}
		}
	}
}

// twoPartitions are two SKUs of different partitions.
func (f *fixture) twoPartitions() []int64 {
	for sku := int64(2); ; sku++ {
		if (stock.Cell{SKU: sku}).Partition(partitions) != (stock.Cell{SKU: 1}).Partition(partitions) {
			return []int64{1, sku}
		}
	}
}

// TestBasketTellsScreens refuses baskets: the screens hear of a SKU that Redis lacks, and of one that is sold out, but
// not of one with too few units.
func TestBasketTellsScreens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 1, nil)
	try := func(body, code string) {
		t.Helper()
		if got := f.do(call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), body: body}); got.code() != code {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	try(`{"items":[{"sku_id":"1","quantity":2}]}`, "sold_out")
	if seen := f.noted(&f.sawSold); len(seen) > 0 {
		t.Errorf("with a unit left, sold out are %v", seen)
	}
	try(basketOf(1), "")
	try(basketOf(1), "sold_out")
	if seen := f.noted(&f.sawSold); !slices.Equal(seen, []stock.Cell{{SKU: 1}}) {
		t.Errorf("sold out are %v", seen)
	}
	f.load(stock.Cell{SKU: 3}, 1, nil)
	f.unknown[stock.Cell{SKU: 3}] = true
	try(basketOf(3), "not_loaded") // the screen answers, and Redis is not asked
	try(basketOf(2), "not_loaded")
	if missed := f.noted(&f.missed); !slices.Equal(missed, []stock.Cell{{SKU: 2}}) {
		t.Errorf("missed are %v", missed)
	}
}

// TestBasketsOfTheUnregistered lets the screen refuse strangers without Redis, and Redis refuse the others. The screen
// hears of those. A refusal by the screen does not spend the key: when the user is registered, the same key holds the
// basket.
func TestBasketsOfTheUnregistered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 9, nil)
	f.load(stock.Cell{SKU: 5, Pool: 7}, 9, func(s *stock.Settings) { s.RegisteredOnly = true })
	f.store.Vouch((stock.Cell{SKU: 5, Pool: 7}).Partition(partitions), 7, 0)
	f.strangers = map[int64]bool{3: true}
	f.part = func(op stock.Op, requests []stock.Request) ([]batch.Result, error) {
		if requests[0].User == 3 {
			t.Error("Redis is asked about a stranger")
		}
		return f.parts(op, requests)
	}
	ask := func(user int64) answer {
		return f.do(call{
			method: "POST", path: "/v1/baskets", token: f.token(9, auth.RoleService), key: "k",
			body: fmt.Sprintf(`{"items":[{"sku_id":"1","quantity":1},{"sku_id":"5","quantity":1,"sale_id":"7"}],"user_id":"%d"}`, user),
		})
	}
	for user, detail := range map[int64]any{3: nil, 4: detailSpent} {
		if got := ask(user); got.status != 403 || got.code() != "not_registered" || got.json["pointer"] != "/items/1" || got.json["detail"] != detail {
			t.Errorf("user %d: %d %s", user, got.status, got.body)
		}
	}
	if want := []int64{4}; !slices.Equal(f.mistaken, want) {
		t.Errorf("the screen hears of %v, want %v", f.mistaken, want)
	}
	f.strangers, f.part = nil, nil
	for p := range partitions {
		if _, err := f.store.Register(t.Context(), p, 7, []int64{3, 4}); err != nil {
			t.Fatal(err)
		}
	}
	for user, want := range map[int64]int{3: 201, 4: 403} {
		if got := ask(user); got.status != want {
			t.Errorf("user %d, registered by now: %d %s", user, got.status, got.body)
		}
	}
}

// TestBasketExpiresWithItsFirstLine has lines with holds of different lengths, in both orders.
func TestBasketExpiresWithItsFirstLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for sku, hold := range map[int64]time.Duration{1: 20 * time.Minute, 2: 10 * time.Minute, 3: 30 * time.Minute} {
		f.load(stock.Cell{SKU: sku}, 9, func(s *stock.Settings) { s.Hold = hold })
	}
	for _, skus := range [][]int64{{1, 2, 3}, {3, 2, 1}, {2, 1}} {
		got := f.do(call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), body: basketOf(skus...)})
		if got.json["expires_at"] != "2026-03-01T12:10:00.000Z" {
			t.Errorf("%v: %s", skus, got.body)
		}
	}
	ask := call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), key: "k", body: basketOf(1, 2, 3)}
	list, _ := f.do(ask).json["reservations"].([]any)
	second := list[1].(map[string]any)["reservation_id"].(string) // which ends first
	f.do(call{method: "POST", path: reservePath + "/" + second + "/release", token: f.token(7, auth.RoleShopper)})
	if got := f.do(ask); got.json["expires_at"] != "2026-03-01T12:20:00.000Z" {
		t.Errorf("without its second line: %s", got.body)
	}
}

// TestForgottenLinesAreNotTold repeats a basket after Redis has forgotten one of its lines: it is held, and has the others.
func TestForgottenLinesAreNotTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	skus := f.twoPartitions()
	for _, sku := range skus {
		f.load(stock.Cell{SKU: sku}, 3, nil)
	}
	ask := call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), key: "k", body: basketOf(skus...)}
	f.do(ask)
	f.part = func(op stock.Op, requests []stock.Request) ([]batch.Result, error) {
		if requests[0].Part.Held {
			return []batch.Result{{Outcome: stock.Outcome{Verdict: stock.VerdictUnknownReservation}, TimeMS: f.nowMS.Load()}}, nil
		}
		return f.parts(op, requests)
	}
	got := f.do(ask)
	list, _ := got.json["reservations"].([]any)
	if got.status != 201 || len(list) != 1 || list[0].(map[string]any)["sku_id"] != "1" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestSpentKeysAreTold has baskets that were refused, and one that never began: only the key of the first is spent.
func TestSpentKeysAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 9, nil)
	f.load(stock.Cell{SKU: 2}, 9, func(s *stock.Settings) { s.OpensAtMS = noon.Add(time.Hour).UnixMilli() })
	ask := call{method: "POST", path: "/v1/baskets", token: f.token(7, auth.RoleShopper), key: "k", body: basketOf(2)}
	for range 2 {
		got := f.do(ask)
		if got.code() != "not_open" || got.json["detail"] != detailSpent || got.header.Get("Retry-After") != strconv.Itoa(opensUnknown) {
			t.Errorf("before the sale: %d %s, Retry-After %s", got.status, got.body, got.header.Get("Retry-After"))
		}
	}
	f.load(stock.Cell{SKU: 3}, 9, func(s *stock.Settings) { s.Frozen = true })
	ask.body = basketOf(3)
	if got := f.do(ask); got.status != 503 || got.json["detail"] != detailSpent || got.header.Get("Retry-After") != "" {
		t.Errorf("frozen: %d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
	ask.key, ask.body = "l", basketOf(1)
	if got := f.do(ask); got.status != 201 {
		t.Errorf("%d %s", got.status, got.body)
	}
	ask.body = `{"items":[{"sku_id":"1","quantity":2}]}`
	if got := f.do(ask); got.code() != "mismatch" || got.json["detail"] == detailSpent {
		t.Errorf("another basket with the key: %d %s", got.status, got.body)
	}
}
