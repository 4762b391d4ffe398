package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/screen"
)

const reservePath = "/v1/reservations"

func taken(sku, quantity int64) string {
	return fmt.Sprintf(`{"sku_id":"%d","quantity":%d}`, sku, quantity)
}

func TestReserveHoldsAndReplays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1001}, 10, nil)
	shopper := f.token(7, auth.RoleShopper)

	first := f.do(call{method: "POST", path: reservePath, token: shopper, key: "a", body: taken(1001, 2)})
	if first.status != 201 || first.header.Get("Idempotent-Replayed") != "" || first.json["state"] != "held" ||
		first.json["sku_id"] != "1001" || first.json["quantity"] != float64(2) || len(first.json) != 5 ||
		first.json["expires_at"] != "2026-03-01T12:15:00.000Z" {
		t.Fatalf("reserve: %d %s", first.status, first.body)
	}
	for _, key := range []string{"a", `"a"`} { // bare and quoted are the same key
		again := f.do(call{method: "POST", path: reservePath, token: shopper, key: key, body: taken(1001, 2)})
		if again.status != 201 || again.header.Get("Idempotent-Replayed") != "true" || again.body != first.body {
			t.Errorf("replay with key %s: %d %v %s", key, again.status, again.header, again.body)
		}
	}
	other := f.do(call{method: "POST", path: reservePath, token: shopper, key: "a", body: taken(1001, 3)})
	if other.code() != "mismatch" {
		t.Errorf("the key for another quantity: %s", other.body)
	}

	id := first.json["reservation_id"].(string)
	released := f.do(call{method: "POST", path: reservePath + "/" + id + "/release", token: shopper})
	if released.status != 200 || released.json["state"] != "released" {
		t.Errorf("release: %d %s", released.status, released.body)
	}
	again := f.do(call{method: "POST", path: reservePath, token: shopper, key: "a", body: taken(1001, 2)})
	if again.status != 201 || again.json["state"] != "released" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replay after the release: %d %s", again.status, again.body)
	}
	if c := f.state(stock.Cell{SKU: 1001}); c.Avail != 10 || c.Held != 0 {
		t.Errorf("cell: %+v", c.Balances)
	}
}

func TestReplayTellsTheStateOfNow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, func(s *stock.Settings) { s.Hold = time.Second })
	shopper := f.token(7, auth.RoleShopper)
	f.do(call{method: "POST", path: reservePath, token: shopper, key: "a", body: taken(1, 1)})
	f.nowMS.Add(1000) // to the deadline; nothing has swept yet
	again := f.do(call{method: "POST", path: reservePath, token: shopper, key: "a", body: taken(1, 1)})
	if again.status != 201 || again.json["state"] != "expired" {
		t.Errorf("replay at the deadline: %d %s", again.status, again.body)
	}
	id := again.json["reservation_id"].(string)
	late := f.do(call{method: "POST", path: reservePath + "/" + id + "/release", token: shopper})
	if late.code() != "wrong_state" || late.json["state"] != "expired" {
		t.Errorf("release after the deadline: %s", late.body)
	}
}

func TestWhoMayReserve(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	g := func(role auth.Role, body string, wantStatus int, wantCode string) answer {
		t.Helper()
		got := f.do(call{method: "POST", path: reservePath, token: f.token(7, role), body: body})
		if got.status != wantStatus || got.code() != wantCode {
			t.Errorf("%v with %s: %d %s", role, body, got.status, got.body)
		}
		return got
	}
	g(auth.RoleShopper, `{"sku_id":"1","quantity":1}`, 201, "")
	g(auth.RoleShopper, `{"sku_id":"1","quantity":1,"user_id":null}`, 201, "")
	g(auth.RoleShopper, `{"sku_id":"1","quantity":1,"user_id":"7"}`, 403, "forbidden")
	g(auth.RoleService, `{"sku_id":"1","quantity":1}`, 400, "malformed")
	g(auth.RoleAdmin, `{"sku_id":"1","quantity":1}`, 403, "forbidden")
	for8 := g(auth.RoleService, `{"sku_id":"1","quantity":1,"user_id":"8"}`, 201, "")
	if for8.json["user_id"] != "8" {
		t.Errorf("a service is told whose it is: %s", for8.body)
	}

	path := reservePath + "/" + for8.json["reservation_id"].(string)
	for user, want := range map[int64]int{8: 200, 7: 404} {
		if got := f.do(call{method: "GET", path: path, token: f.token(user, auth.RoleShopper)}); got.status != want {
			t.Errorf("user %d sees user 8's reservation: %d %s", user, got.status, got.body)
		}
	}
}

func TestDeductNeedsASaleThatAllowsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	f.load(stock.Cell{SKU: 1, Pool: 5}, 10, func(s *stock.Settings) { s.ShopperDeducts = true })
	g := func(token, body string, wantStatus int, wantCode string) answer {
		t.Helper()
		got := f.do(call{method: "POST", path: "/v1/deductions", token: token, body: body})
		if got.status != wantStatus || got.code() != wantCode {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
		return got
	}
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	g(shopper, `{"sku_id":"1","quantity":1}`, 403, "forbidden")
	g(shopper, `{"sku_id":"1","quantity":1,"sale_id":"6"}`, 404, "not_loaded")
	g(service, `{"sku_id":"1","quantity":1,"user_id":"7"}`, 201, "")
	mine := call{method: "POST", path: "/v1/deductions", token: shopper, key: "mine", body: `{"sku_id":"1","quantity":1,"sale_id":"5"}`}
	got := f.do(mine)
	if got.status != 201 || got.json["state"] != "confirmed" || got.json["sale_id"] != "5" || got.json["expires_at"] != nil {
		t.Errorf("deduction: %d %s", got.status, got.body)
	}
	stopped := f.do(call{
		method: "PATCH", path: "/admin/v1/skus/1", token: f.token(1, auth.RoleAdmin),
		body: `{"reason":"x","sale_id":"5","shopper_deducts":false}`,
	})
	if stopped.status != 200 {
		t.Fatal(stopped.body)
	}
	g(shopper, mine.body, 403, "forbidden")
	if again := f.do(mine); again.body != got.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the first deduction, repeated when none is allowed any more: %d %s", again.status, again.body)
	}
}

func TestReserveAndDeductUnderOneKeyAreTwoRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, func(s *stock.Settings) { s.ShopperDeducts = true })
	shopper := f.token(7, auth.RoleShopper)
	f.do(call{method: "POST", path: reservePath, token: shopper, key: "a", body: taken(1, 1)})
	got := f.do(call{method: "POST", path: "/v1/deductions", token: shopper, key: "a", body: taken(1, 1)})
	if got.status != 201 || got.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("deduct: %d %s", got.status, got.body)
	}
}

func TestConfirmAndRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	reserve := func() string {
		t.Helper()
		got := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)})
		return reservePath + "/" + got.json["reservation_id"].(string)
	}
	g := func(path, token string, wantStatus int, wantCode, wantState string) {
		t.Helper()
		got := f.do(call{method: "POST", path: path, token: token})
		if got.status != wantStatus || got.code() != wantCode || wantState != "" && got.json["state"] != wantState {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		if got.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: a settled state is no replay of this request", path)
		}
	}
	sold := reserve()
	g(sold+"/confirm", shopper, 403, "forbidden", "")
	g(sold+"/confirm", service, 200, "", "confirmed")
	g(sold+"/confirm", service, 200, "", "confirmed")
	g(sold+"/release", shopper, 409, "wrong_state", "confirmed")
	given := reserve()
	g(given+"/release", f.token(8, auth.RoleShopper), 404, "unknown_reservation", "")
	g(given+"/release", f.token(8, auth.RoleAdmin), 403, "forbidden", "")
	g(given+"/release", shopper, 200, "", "released")
	g(given+"/release", service, 200, "", "released")
	g(given+"/confirm", service, 409, "wrong_state", "released")
	g(reserve()+"/release", service, 200, "", "released")
}

// TestUnknownReservations asks for impossible ids, missing ones, and ids of other things. All answers are alike.
func TestUnknownReservations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cell := stock.Cell{SKU: 1}
	f.load(cell, 10, nil)
	loading := stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(partitions)
	shopper, service := f.token(7, auth.RoleShopper), f.token(1, auth.RoleService)
	for _, id := range []string{
		"x", "0", strings.Repeat("0", 32), strings.Repeat("0", 31), strings.Repeat("0", 33),
		"ffff" + strings.Repeat("0", 28), fmt.Sprintf("%04x", partitions) + strings.Repeat("0", 28), strings.ToUpper("0001" + strings.Repeat("a", 28)),
		"%30" + strings.Repeat("0", 31), loading.String(),
	} {
		for _, c := range []call{
			{method: "GET", path: reservePath + "/" + id, token: shopper},
			{method: "GET", path: reservePath + "/" + id, token: service},
			{method: "POST", path: reservePath + "/" + id + "/release", token: shopper},
			{method: "POST", path: reservePath + "/" + id + "/release", token: service},
			{method: "POST", path: reservePath + "/" + id + "/confirm", token: service},
		} {
			if got := f.do(c); got.code() != "unknown_reservation" || len(got.json) != 6 {
				t.Errorf("%s %s: %s", c.method, c.path, got.body)
			}
		}
	}
}

func TestEveryVerdictAndErrorHasItsAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shopper := f.token(7, auth.RoleShopper)
	reserve := func(verdict stock.Verdict, err error) answer {
		decide := func(stock.Op, stock.Request) (batch.Result, error) {
			return batch.Result{Outcome: stock.Outcome{Verdict: verdict}}, err
		}
		f.decide.Store(&decide)
		return f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)})
	}
	for v := range stock.Verdicts {
		verdict := stock.Verdict(v)
		got := reserve(verdict, nil)
		want := verdict.String()
		switch verdict {
		case stock.VerdictOK, stock.VerdictReplayed:
			want = ""
		case stock.VerdictWrongUser:
			want = "unknown_reservation"
		case stock.VerdictRefused:
			want = "internal" // only lines of baskets get it, beside one that is named
		case stock.VerdictUsersMissing:
			want = "unavailable"
		default:
		}
		if got.code() != want {
			t.Errorf("%v: %s", verdict, got.body)
		}
	}
	for _, tc := range []struct {
		err  error
		code string
	}{
		{stock.ErrNotApplied, "unavailable"},
		{stock.ErrShut, "unavailable"},
		{batch.ErrDraining, "unavailable"},
		{batch.ErrFull, "overloaded"},
		{stock.ErrUnknown, "outcome_unknown"},
		{stock.ErrProtocol, "internal"},
		{errors.New("surprise"), "internal"},
	} {
		got := reserve(stock.VerdictOK, fmt.Errorf("wrapped: %w", tc.err))
		if got.code() != tc.code || strings.Contains(got.body, "wrapped") {
			t.Errorf("%v: %s", tc.err, got.body)
		}
	}
}

func TestNotOpenTellsWhenToComeBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shopper := f.token(7, auth.RoleShopper)
	for sku, tc := range map[int64]struct {
		opensAtMS int64
		after     string
	}{
		1: {noon.UnixMilli() + 89_001, "90"},
		2: {noon.AddDate(1, 0, 0).UnixMilli(), "3600"},
		3: {sale.NotScheduled, "5"},
	} {
		f.load(stock.Cell{SKU: sku}, 10, func(s *stock.Settings) { s.OpensAtMS = tc.opensAtMS })
		got := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(sku, 1)})
		if got.code() != "not_open" || got.header.Get("Retry-After") != tc.after {
			t.Errorf("opens at %d: %v %s", tc.opensAtMS, got.header, got.body)
		}
	}
	f.nowMS.Add(89_001)
	if got := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)}); got.status != 201 {
		t.Errorf("at the opening: %s", got.body)
	}
}

func TestScreensAreAskedAndTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cell, gone, absent := stock.Cell{SKU: 1}, stock.Cell{SKU: 2}, stock.Cell{SKU: 3}
	f.load(cell, 3, nil)
	f.soldOut[gone], f.unknown[absent] = true, true
	shopper := f.token(7, auth.RoleShopper)
	reserve := func(sku, quantity int64) string {
		t.Helper()
		return f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(sku, quantity)}).code()
	}
	if got := reserve(2, 1); got != "sold_out" {
		t.Errorf("behind the sold-out screen: %s", got)
	}
	if got := f.do(call{method: "POST", path: "/v1/deductions", token: shopper, body: taken(2, 1)}); got.code() != "sold_out" {
		t.Errorf("a deduction behind the sold-out screen: %s", got.body)
	}
	if got := reserve(3, 1); got != "not_loaded" {
		t.Errorf("behind the screen of known SKUs: %s", got)
	}
	if got := reserve(4, 1); got != "not_loaded" {
		t.Errorf("unknown to Redis: %s", got)
	}
	if got := f.do(call{method: "GET", path: "/v1/stock?sku_ids=1,3,5"}); got.status != 200 {
		t.Errorf("the stock of three: %s", got.body)
	}
	if got := f.noted(&f.missed); len(got) != 2 || got[0].SKU != 4 || got[1].SKU != 5 {
		t.Errorf("missed: %v", got)
	}
	reserve(1, 4)
	if got := f.noted(&f.sawSold); len(got) != 0 {
		t.Errorf("three units are left, and sold out was seen: %v", got)
	}
	reserve(1, 3)
	if got := reserve(1, 1); got != "sold_out" {
		t.Errorf("of an empty cell: %s", got)
	}
	if got := f.noted(&f.sawSold); len(got) != 1 || got[0] != cell {
		t.Errorf("seen sold out: %v", got)
	}
}

// Stock that is shown or used without Redis is a second old at most, and no cache keeps it longer.
func TestStockIsOfThisSecond(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 3, func(s *stock.Settings) { s.ShopperDeducts = true })
	for _, path := range []string{"/v1/stock/1", "/v1/stock?sku_ids=1"} {
		if got := f.do(call{method: "GET", path: path}); got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=1" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
	got := f.do(call{method: "POST", path: "/v1/deductions", token: f.token(7, auth.RoleShopper), body: taken(1, 1)})
	if got.status != 201 {
		t.Errorf("deduct: %d %s", got.status, got.body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ages) != 3 || slices.Max(f.ages) > time.Second {
		t.Errorf("states may be as old as %v", f.ages)
	}
}

// If the screen is in doubt about a SKU, the edge answers overloaded, never not_loaded: the SKU may have been loaded
// just now.
func TestDoubtfulSKUsAreShed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 3, nil)
	f.load(stock.Cell{SKU: 2}, 3, nil)
	f.doubtful[stock.Cell{SKU: 2}] = screen.ErrBusy
	for _, c := range []call{
		{method: "POST", path: reservePath, token: f.token(7, auth.RoleShopper), body: taken(2, 1)},
		{method: "GET", path: "/v1/stock/2"},
	} {
		if got := f.do(c); got.code() != "overloaded" || got.json["retryable"] != true || got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %v %s", c.method, c.path, got.header, got.body)
		}
	}
	got := f.do(call{method: "GET", path: "/v1/stock?sku_ids=2,1"})
	if data, _ := got.json["data"].([]any); got.status != 200 || len(data) != 1 {
		t.Errorf("in a list: %d %s", got.status, got.body)
	}
}

func TestUnreachableStockIsUnavailableToReaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	shopper := f.token(7, auth.RoleShopper)
	id := "0001" + strings.Repeat("0", 28)
	for _, err := range []error{stock.ErrUnknown, stock.ErrNotApplied, stock.ErrShut} {
		f.readErr.Store(&err)
		for _, c := range []call{
			{method: "GET", path: reservePath + "/" + id, token: shopper},
			{method: "POST", path: reservePath + "/" + id + "/release", token: shopper},
			{method: "POST", path: "/v1/deductions", token: shopper, body: taken(1, 1)},
			{method: "GET", path: "/v1/stock/1"},
			{method: "GET", path: "/v1/stock?sku_ids=1,2"},
		} {
			if got := f.do(c); got.code() != "unavailable" {
				t.Errorf("%v: %s %s: %s", err, c.method, c.path, got.body)
			}
		}
	}
}

// TestConcurrentRequestsDoNotMix sends many different requests at once and holds each answer to its own
// request: every buffer of fasthttp's is used again at once. It says most under -race.
func TestConcurrentRequestsDoNotMix(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for sku := range int64(10) {
		f.load(stock.Cell{SKU: sku + 1}, 1_000_000, nil)
	}
	service := f.token(1, auth.RoleService)
	f.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	var wait sync.WaitGroup
	for client := range int64(16) {
		wait.Go(func() {
			for i := range int64(100) {
				sku, quantity, user := (client+i)%10+1, i+1, client*1000+i+1
				got := f.do(call{
					method: "POST", path: reservePath, token: service, key: fmt.Sprintf("key-%d-%d", client, i),
					body: fmt.Sprintf(`{"sku_id":"%d","quantity":%d,"user_id":"%d"}`, sku, quantity, user),
				})
				if got.status != 201 || got.json["sku_id"] != fmt.Sprint(sku) || got.json["quantity"] != float64(quantity) ||
					got.json["user_id"] != fmt.Sprint(user) {
					t.Errorf("%d of %d for %d: %d %s", quantity, sku, user, got.status, got.body)
				}
				id, err := stock.ParseReservationID(got.json["reservation_id"].(string))
				want := stock.Identity{
					User: user, Route: stock.OpReserve, Cell: stock.Cell{SKU: sku}, Key: fmt.Sprintf("key-%d-%d", client, i),
				}.ID(partitions)
				if err != nil || id != want {
					t.Errorf("id %v, want %v", id, want)
				}
			}
		})
	}
	wait.Wait()
}

func TestPanicIsAnsweredAndCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	boom := func(stock.Op, stock.Request) (batch.Result, error) { panic("boom") }
	f.decide.Store(&boom)
	shopper := f.token(7, auth.RoleShopper)
	for range 3 {
		got := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)})
		if got.code() != "internal" || strings.Contains(got.body, "boom") {
			t.Errorf("%s", got.body)
		}
	}
	f.decide.Store(nil)
	f.load(stock.Cell{SKU: 1}, 1, nil)
	if got := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)}); got.status != 201 {
		t.Errorf("after the panics: %s", got.body)
	}
}

func TestReleaseWhoseOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	shopper := f.token(7, auth.RoleShopper)
	held := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)})
	hang := func(stock.Op, stock.Request) (batch.Result, error) { return batch.Result{}, stock.ErrUnknown }
	f.decide.Store(&hang)
	got := f.do(call{method: "POST", path: reservePath + "/" + held.json["reservation_id"].(string) + "/release", token: shopper})
	if got.code() != "outcome_unknown" {
		t.Errorf("%s", got.body)
	}
}
