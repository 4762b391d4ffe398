package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/event"
	"sluice/core/limit"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/edge/batch"
)

func TestLoadingMakesAndNeverSets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin := f.token(1, auth.RoleAdmin)
	put := call{method: "PUT", path: "/admin/v1/skus/5", token: admin, key: "load", body: `{"quantity":10,"reason":"first","limit":2}`}
	got := f.do(put)
	if got.status != 201 || got.json["total"] != 10.0 || got.json["limit"] != 2.0 || got.json["hold_ms"] != 900000.0 || got.json["seq"] != 1.0 {
		t.Fatalf("load: %d %s", got.status, got.body)
	}
	if added := f.noted(&f.added); len(added) != 1 || added[0].SKU != 5 {
		t.Errorf("the screen was told of %v", added)
	}
	if got := f.do(put); got.status != 201 || got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("load again: %d %v %s", got.status, got.header, got.body)
	}
	put.key = "other"
	if got := f.do(put); got.code() != "wrong_state" || f.state(stock.Cell{SKU: 5}).Total != 10 {
		t.Errorf("load what is there: %s", got.body)
	}
}

// Whoever sets the level replica while there is none is told, and nobody else.
func TestLevelReplicaWarns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.replicaWarning = "no replica keeps up with redis"
	f.load(stock.Cell{SKU: 5}, 10, nil)
	admin := f.token(1, auth.RoleAdmin)
	for body, want := range map[string]string{
		`{"reason":"x","ack":"replica"}`: "no replica keeps up with redis", `{"reason":"x","ack":"log"}`: "", `{"reason":"x","limit":2}`: "",
	} {
		got := f.do(call{method: "PATCH", path: "/admin/v1/skus/5", token: admin, body: body})
		if got.status != 200 || got.header.Get("Sluice-Warning") != want {
			t.Errorf("%s: %d %v", body, got.status, got.header)
		}
	}
}

func TestSettingsChangeOneByOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, func(s *stock.Settings) { s.Limit, s.ClosesAtMS = 3, noon.UnixMilli()+1000 })
	admin := f.token(1, auth.RoleAdmin)
	patch := func(body string) answer {
		t.Helper()
		return f.do(call{method: "PATCH", path: "/admin/v1/skus/5", token: admin, body: body})
	}
	if got := patch(`{"reason":"x","frozen":true}`); got.json["frozen"] != true || got.json["limit"] != 3.0 || got.json["closes_at"] == nil {
		t.Errorf("freeze: %s", got.body)
	}
	if got := f.do(call{method: "GET", path: "/v1/stock/5"}); got.json["avail"] != 0.0 {
		t.Errorf("a frozen SKU as shoppers see it: %s", got.body)
	}
	if got := patch(`{"reason":"x","frozen":false,"limit":0,"closes_at":"","ack":"replica","hold_ms":1}`); got.json["frozen"] != false ||
		got.json["limit"] != nil || got.json["closes_at"] != nil || got.json["ack"] != "replica" || got.json["hold_ms"] != 1.0 {
		t.Errorf("several: %s", got.body)
	}
	if got := patch(`{"reason":"x","opens_at":"2026-11-11T20:00:00.123+08:00"}`); got.json["opens_at"] != "2026-11-11T12:00:00.123Z" {
		t.Errorf("open at: %s", got.body)
	}
	if got := patch(`{"reason":"x","opens_at":"2026-11-11t12:00:00.1239z"}`); got.json["opens_at"] != "2026-11-11T12:00:00.123Z" {
		t.Errorf("open at, in small letters: %s", got.body)
	}
	for _, opens := range []string{"2026-11-11T0:00:00Z", "2026-11-11T12:00:00,5Z", "2026-11-11T12:00:00+24:00", "2026-12-31T23:59:60Z"} {
		if got := patch(`{"reason":"x","opens_at":"` + opens + `"}`); got.code() != "malformed" || got.json["pointer"] != "/opens_at" {
			t.Errorf("open at %s: %s", opens, got.body)
		}
	}
	for _, closes := range []string{"2026-11-11T12:00:00Z", "2026-11-11T12:00:00.123Z"} {
		if got := patch(`{"reason":"x","closes_at":"` + closes + `"}`); got.code() != "malformed" || got.json["pointer"] != "/closes_at" {
			t.Errorf("close before it opens: %s", got.body)
		}
	}
	if got := patch(`{"reason":"x","closes_at":"2026-11-11T12:00:00.124Z"}`); got.json["closes_at"] != "2026-11-11T12:00:00.124Z" {
		t.Errorf("close after it opens: %s", got.body)
	}
	for _, early := range []string{"1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "1970-12-31T23:59:59.999Z"} {
		if got := patch(`{"reason":"x","opens_at":"` + early + `"}`); got.code() != "malformed" || !strings.Contains(got.body, "1971 to 9999") {
			t.Errorf("%s: %s", early, got.body)
		}
	}
	if got := patch(`{"reason":"x","opens_at":"2026-11-12T00:00:00Z"}`); got.code() != "malformed" {
		t.Errorf("open after it closes: %s", got.body)
	}
	if got := patch(`{"reason":"x","opens_at":"2026-11-12T00:00:00Z","closes_at":""}`); got.status != 200 {
		t.Errorf("open later, and never close: %s", got.body)
	}
}

func TestAdminBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, nil)
	f.load(stock.Cell{SKU: 5, Pool: 9}, 10, nil)
	admin := f.token(1, auth.RoleAdmin)
	g := func(method, path, body, pointer string) {
		t.Helper()
		got := f.do(call{method: method, path: path, token: admin, body: body})
		if got.code() != "malformed" || pointer != "" && got.json["pointer"] != pointer {
			t.Errorf("%s %s %s: %s", method, path, body, got.body)
		}
	}
	for body, pointer := range map[string]string{
		`{"reason":"x"}`:                                                "/quantity",
		`{"quantity":1}`:                                                "/reason",
		`{"quantity":null,"reason":"x"}`:                                "/quantity",
		`{"quantity":-1,"reason":"x"}`:                                  "/quantity",
		`{"quantity":1099511627776,"reason":"x"}`:                       "/quantity",
		`{"quantity":1,"reason":""}`:                                    "/reason",
		`{"quantity":1,"reason":5}`:                                     "/reason",
		`{"quantity":1,"reason":"a\nb"}`:                                "/reason",
		`{"quantity":1,"reason":"a\u009bb"}`:                            "/reason",
		`{"quantity":1,"reason":"a\u202eb"}`:                            "/reason",
		`{"quantity":1,"reason":"a\u2028b"}`:                            "/reason",
		`{"quantity":1,"reason":"a\udb40\udc41b"}`:                      "/reason",
		`{"quantity":1,"reason":"` + strings.Repeat("x", 201) + `"}`:    "/reason",
		`{"quantity":1,"reason":"x","limit":1000001}`:                   "/limit",
		`{"quantity":1,"reason":"x","hold_ms":0}`:                       "/hold_ms",
		`{"quantity":1,"reason":"x","hold_ms":2592000001}`:              "/hold_ms",
		`{"quantity":1,"reason":"x","ack":"both"}`:                      "/ack",
		`{"quantity":1,"reason":"x","frozen":"true"}`:                   "/frozen",
		`{"quantity":1,"reason":"x","opens_at":"tomorrow"}`:             "/opens_at",
		`{"quantity":1,"reason":"x","opens_at":"1970-01-01T00:00:00Z"}`: "/opens_at", // it would be no bound
		`{"quantity":1,"reason":"x","opens_at":1767225600000}`:          "/opens_at",
		`{"quantity":1,"reason":"x","opens_at":"2026-01-02T00:00:00Z","closes_at":"2026-01-01T00:00:00Z"}`: "/closes_at",
		`{"quantity":1,"reason":"x","sale_id":"1"}`:                                                        "",
		`{"quantity":1,"quantity":1,"reason":"x"}`:                                                         "/quantity",
	} {
		g("PUT", "/admin/v1/skus/6", body, pointer)
	}
	g("PUT", "/admin/v1/skus/06", `{"quantity":1,"reason":"x"}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x"}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x","limit":null}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x","sale_id":"9","closes_at":""}`, "")
	g("PATCH", "/admin/v1/skus/5", `{"reason":"x","sale_id":"9","opens_at":"2026-01-02T00:00:00Z"}`, "")
	g("POST", "/admin/v1/skus/5/adjustments", `{"delta":0,"reason":"x"}`, "/delta")
	g("POST", "/admin/v1/skus/5/adjustments", `{"delta":1.5,"reason":"x"}`, "/delta")
	g("POST", "/admin/v1/skus/5/adjustments", `{"delta":1099511627775,"reason":"x"}`, "/delta")
	g("POST", "/admin/v1/transfers", `{"sku_id":"5","quantity":1,"reason":"x"}`, "/to_sale_id")
	g("PUT", "/admin/v1/sales/1", `{"name":"x","items":[]}`, "/items")
	g("PUT", "/admin/v1/sales/1", `{"name":"x","items":{}}`, "/items")
	g("PUT", "/admin/v1/sales/1", `{"name":"x","items":[{"sku_id":"1","quantity":1},{"sku_id":"1","quantity":1}]}`, "")
	g("PUT", "/admin/v1/sales/0", `{"name":"x","items":[{"sku_id":"1","quantity":1}]}`, "")
	g("POST", "/admin/v1/sales/1/open", `{"at":"2026-01-02T00:00:00Z"}`, "")
	for _, cell := range []stock.Cell{{SKU: 5}, {SKU: 5, Pool: 9}} {
		if c := f.state(cell); c.Seq != 1 {
			t.Errorf("something changed: %+v", c)
		}
	}
}

func TestAdjustmentsByDelta(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, nil)
	f.load(stock.Cell{SKU: 5, Pool: 9}, 0, nil)
	admin := f.token(1, auth.RoleAdmin)
	adjust := func(key, body string) answer {
		t.Helper()
		return f.do(call{method: "POST", path: "/admin/v1/skus/5/adjustments", token: admin, key: key, body: body})
	}
	if got := adjust("a", `{"delta":5,"reason":"restock"}`); got.status != 200 || got.json["total"] != 15.0 {
		t.Errorf("restock: %s", got.body)
	}
	if got := adjust("a", `{"delta":5,"reason":"restock"}`); got.json["total"] != 15.0 || got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("restock again: %s", got.body)
	}
	if got := adjust("a", `{"delta":6,"reason":"restock"}`); got.code() != "mismatch" {
		t.Errorf("another delta under the key: %s", got.body)
	}
	if got := adjust("", `{"delta":-16,"reason":"lost"}`); got.code() != "sold_out" {
		t.Errorf("more than there is: %s", got.body)
	}
	if got := adjust("", `{"delta":3,"reason":"gift","sale_id":"9"}`); got.json["total"] != 3.0 || got.json["sale_id"] != "9" {
		t.Errorf("in a sale: %s", got.body)
	}
	transfer := call{
		method: "POST", path: "/admin/v1/transfers", token: admin, key: "t",
		body: `{"sku_id":"5","to_sale_id":"9","quantity":10,"reason":"more"}`,
	}
	for _, replayed := range []string{"", "true"} {
		got := f.do(transfer)
		to, _ := got.json["to"].(map[string]any)
		if got.status != 200 || to["avail"] != 13.0 || got.header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("transfer: %d %v %s", got.status, got.header, got.body)
		}
	}
	transfer.body = strings.Replace(transfer.body, "10", "1", 1)
	if got := f.do(transfer); got.code() != "mismatch" {
		t.Errorf("another quantity under the key: %s", got.body)
	}
}

// TestAKeyBelongsToItsAdmin has two admins who chose the same key for the same change.
func TestAKeyBelongsToItsAdmin(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cell := stock.Cell{SKU: 5}
	f.load(cell, 10, nil)
	for i, admin := range []int64{1, 2} {
		got := f.do(call{
			method: "POST", path: "/admin/v1/skus/5/adjustments", token: f.token(admin, auth.RoleAdmin), key: "a",
			body: `{"delta":5,"reason":"restock"}`,
		})
		if want := float64(15 + 5*i); got.json["total"] != want || got.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("admin %d: %v %s", admin, got.header, got.body)
		}
		entries, err := f.store.OutboxAfter(t.Context(), cell.Partition(partitions), "", 100)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := event.Decode(entries[len(entries)-1].Data)
		if err != nil {
			t.Fatal(err)
		}
		if user := batch.Events[0].User; user != admin {
			t.Errorf("the event of admin %d names %d", admin, user)
		}
	}
}

// What fills a cell finds its first answer when it is repeated, though there is no more room by then.
func TestAdjustmentThatFillsIsReplayed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, stock.UnitsMax-5, nil)
	fill := call{
		method: "POST", path: "/admin/v1/skus/5/adjustments", token: f.token(1, auth.RoleAdmin), key: "a",
		body: `{"delta":5,"reason":"restock"}`,
	}
	for _, replayed := range []string{"", "true"} {
		if got := f.do(fill); got.status != 200 || got.header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("fill: %d %v %s", got.status, got.header, got.body)
		}
	}
	fill.key = "b"
	if got := f.do(fill); got.code() != "malformed" {
		t.Errorf("more than fits: %s", got.body)
	}
}

func TestAKeyBelongsToItsOperation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []call{
		{method: "PUT", path: "/admin/v1/skus/5", body: `{"quantity":10,"reason":"first"}`},
		{method: "PATCH", path: "/admin/v1/skus/5", body: `{"limit":1,"reason":"first"}`},
		{method: "POST", path: "/admin/v1/skus/5/adjustments", body: `{"delta":5,"reason":"first"}`},
	} {
		c.token, c.key = f.token(1, auth.RoleAdmin), "k"
		if got := f.do(c); got.status >= 300 || got.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
}

func TestOnlyAdminsAdminister(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []call{
		{method: "PUT", path: "/admin/v1/skus/5", body: `{}`},
		{method: "GET", path: "/admin/v1/skus/5"},
		{method: "PATCH", path: "/admin/v1/skus/5", body: `{}`},
		{method: "POST", path: "/admin/v1/skus/5/adjustments", body: `{}`},
		{method: "POST", path: "/admin/v1/transfers", body: `{}`},
		{method: "PUT", path: "/admin/v1/sales/5", body: `{}`},
		{method: "GET", path: "/admin/v1/sales/5"},
		{method: "POST", path: "/admin/v1/sales/5/open", body: `{}`},
		{method: "POST", path: "/admin/v1/sales/5/close", body: `{}`},
		{method: "POST", path: "/admin/v1/sales/5/fill"},
		{method: "POST", path: "/admin/v1/sales/5/empty"},
	} {
		for _, role := range []auth.Role{auth.RoleShopper, auth.RoleService} {
			c.token = f.token(7, role)
			if got := f.do(c); got.code() != "forbidden" {
				t.Errorf("%v: %s %s: %s", role, c.method, c.path, got.body)
			}
		}
		c.token = ""
		if got := f.do(c); got.code() != "unauthorized" || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("nobody: %s %s: %s", c.method, c.path, got.body)
		}
	}
}

func TestSalesAreToldAsTheyStand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin := f.token(1, auth.RoleAdmin)
	made := f.do(call{
		method: "PUT", path: "/admin/v1/sales/7", token: admin,
		body: `{"name":"\"Sale\" \u00e9","items":[{"sku_id":"2","quantity":5},{"sku_id":"1","quantity":6}],"limit":1,"ack":"log","shopper_deducts":true}`,
	})
	if made.status != 201 || made.json["name"] != `"Sale" é` || made.json["phase"] != "planned" || made.json["ack"] != "log" {
		t.Errorf("make: %d %s", made.status, made.body)
	}
	if added := f.noted(&f.added); len(added) != 2 || added[0].Pool != 7 {
		t.Errorf("the screen was told of %v", added)
	}
	open := call{
		method: "POST", path: "/admin/v1/sales/7/open", token: admin, key: "o",
		body: `{"opens_at":"2026-03-01T12:00:05Z","closes_at":"2026-03-01T13:00:00Z"}`,
	}
	for _, replayed := range []string{"", "true"} {
		opened := f.do(open)
		if opened.json["phase"] != "scheduled" || opened.json["opens_at"] != "2026-03-01T12:00:05.000Z" ||
			opened.header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("open: %v %s", opened.header, opened.body)
		}
	}
	f.nowMS.Add(5000)
	if got := f.do(call{method: "GET", path: "/admin/v1/sales/7", token: admin}); got.json["phase"] != "open" {
		t.Errorf("show: %s", got.body)
	}
	for _, move := range []string{"empty", "fill"} {
		c := call{method: "POST", path: "/admin/v1/sales/7/" + move, token: admin, key: move}
		for _, replayed := range []string{"", "true"} {
			got := f.do(c)
			if got.status != 200 || got.json["filled"] != (move == "fill") || got.header.Get("Idempotent-Replayed") != replayed {
				t.Errorf("%s: %d %v %s", move, got.status, got.header, got.body)
			}
		}
		c.body = `{}`
		if got := f.do(c); got.code() != "malformed" {
			t.Errorf("%s with a body: %s", move, got.body)
		}
	}
	for err, code := range map[error]string{
		sale.ErrNotFilled: "sale_refused", sale.ErrNotClosed: "sale_refused", sale.ErrStaleMove: "sale_refused", sale.ErrCellRefuse: "sale_refused",
		sale.ErrOverlap: "unavailable", sale.ErrShort: "sold_out", sale.ErrNotLoaded: "not_loaded", sale.ErrOtherPlan: "mismatch", sale.ErrOtherCall: "mismatch", sale.ErrWindow: "malformed",
		stock.ErrInTransit: "in_transit", stock.ErrUnknown: "outcome_unknown", stock.ErrShut: "unavailable",
		fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrTransferRefused): "partly_done", fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrNotApplied): "partly_done",
		errors.Join(stock.ErrTransferRefused, stock.ErrUnknown): "outcome_unknown", fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrUnknown): "outcome_unknown",
	} {
		f.sales.err = fmt.Errorf("sale 7: %w", err)
		if got := f.do(call{method: "POST", path: "/admin/v1/sales/7/close", token: admin, body: `{}`}); got.code() != code {
			t.Errorf("%v: %s", err, got.body)
		}
	}
}

func TestTransferThatStopsHalfWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(p *Parts) {
		p.Transfer = func(context.Context, stock.TransferRequest) (bool, error) {
			return false, fmt.Errorf("%w: bring in: %w", stock.ErrInTransit, stock.ErrUnknown)
		}
	})
	got := f.do(call{
		method: "POST", path: "/admin/v1/transfers", token: f.token(1, auth.RoleAdmin),
		body: `{"sku_id":"5","to_sale_id":"9","quantity":10,"reason":"more"}`,
	})
	if got.code() != "in_transit" || got.json["retryable"] != true {
		t.Errorf("%s", got.body)
	}
}

func TestReleaseWhoseOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 10, nil)
	shopper := f.token(7, auth.RoleShopper)
	held := f.do(call{method: "POST", path: reservePath, token: shopper, body: taken(1, 1)})
	hang := func(stock.Op, *stock.Request, *batch.Result) error { return stock.ErrUnknown }
	f.decide.Store(&hang)
	got := f.do(call{method: "POST", path: reservePath + "/" + held.json["reservation_id"].(string) + "/release", token: shopper})
	if got.code() != "outcome_unknown" {
		t.Errorf("%s", got.body)
	}
}

func tightLimits(p *Parts) {
	p.Users = limit.New("user", limit.Config{Rate: 1, Burst: 3, KeysMax: 100}, func(user int64) uint64 { return uint64(user) })
	p.Addresses = limit.New("address", limit.Config{Rate: 1, Burst: 10, KeysMax: 100}, func(netip.Addr) uint64 { return 0 })
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tightLimits)
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	reserve := func(token, body string) answer {
		t.Helper()
		return f.do(call{method: "POST", path: reservePath, token: token, body: body})
	}
	first := f.token(1, auth.RoleShopper)
	got := reserve(first, taken(1, 1))
	if got.status != 201 || got.header.Get("RateLimit-Policy") != `"user";q=3;w=3, "address";q=10;w=10` ||
		got.header.Get("RateLimit") != `"user";r=2;t=1, "address";r=9;t=1` {
		t.Errorf("within the limits: %v", got.header)
	}
	reserve(first, taken(1, 1))
	reserve(first, taken(1, 1))
	if got := reserve(first, taken(1, 1)); got.code() != "rate_limited" || got.header.Get("Retry-After") != "1" {
		t.Errorf("the user's fourth: %v %s", got.header, got.body)
	}
	second := f.token(2, auth.RoleShopper)
	for range 3 {
		if got := reserve(second, taken(1, 1)); got.status != 201 {
			t.Errorf("another user: %s", got.body)
		}
	}
	for range 4 { // what the first user's limit refused took nothing from the address
		reserve("forged", taken(1, 1))
	}
	if got := reserve("forged", taken(1, 1)); got.code() != "rate_limited" {
		t.Errorf("the address' eleventh, with a forged token: %s", got.body)
	}
	service := f.token(3, auth.RoleService)
	if got := reserve(service, taken(1, 1)); got.code() != "rate_limited" {
		t.Errorf("a token that was never seen, from a limited address: %s", got.body)
	}
	f.nowMS.Add(10_000)
	for range 20 { // once seen, a service has no limits
		if got := reserve(service, `{"sku_id":"1","quantity":1,"user_id":"9"}`); got.status != 201 {
			t.Errorf("a service: %v %s", got.header, got.body)
		}
	}
}

func TestAppendTime(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]string{
		0: "1970-01-01T00:00:00.000Z", 1: "1970-01-01T00:00:00.001Z", 999: "1970-01-01T00:00:00.999Z",
		1772366400000: "2026-03-01T12:00:00.000Z", stock.TimeMaxMS: "10889-08-02T05:31:50.655Z",
	} {
		if got := string(appendTime(nil, ms)); got != want || want != time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
	}
}

// A body that needs no member may be missing, whatever type it is said to have; one that needs some is told to be.
func TestBodiesThatMayBeMissing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 5, nil)
	admin := f.token(1, auth.RoleAdmin)
	f.do(call{method: "PUT", path: "/admin/v1/sales/7", token: admin, body: `{"name":"x","items":[{"sku_id":"1","quantity":5}]}`})
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}} // as curl has it for -d ''
	letter := "/admin/v1/dead-letters/" + strings.Repeat("0", 64)
	for path, may := range map[string]bool{
		"POST /admin/v1/sales/7/open": true, "POST /admin/v1/sales/7/close": true,
		"PUT /admin/v1/sales/7": false, "PUT /admin/v1/skus/1": false, "PATCH /admin/v1/skus/1": false, "POST /admin/v1/skus/1/adjustments": false,
		"POST /admin/v1/transfers": false, "POST " + letter + "/resolve": false, "POST " + letter + "/replay": false,
	} {
		method, path, _ := strings.Cut(path, " ")
		for _, header := range []http.Header{nil, form} {
			got := f.do(call{method: method, path: path, token: admin, header: header})
			if may && got.status != 200 || !may && (got.code() != "malformed" || got.json["detail"] != errBodyMissing.Detail) {
				t.Errorf("%s %s without a body: %d %s", method, path, got.status, got.body)
			}
		}
		if got := f.do(call{method: method, path: path, token: admin, header: form, body: "{}"}); got.code() != "unsupported_media_type" {
			t.Errorf("%s %s with a form: %s", method, path, got.body)
		}
	}
}

// No door closes a SKU at once without a word: a closing that has passed is refused, unless it is the one that is set.
func TestAClosingThatHasPassedIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin := f.token(1, auth.RoleAdmin)
	send := func(method, path, key, body, code string) {
		t.Helper()
		if got := f.do(call{method: method, path: "/admin/v1/skus/" + path, token: admin, key: key, body: body}); got.code() != code {
			t.Errorf("%s %s %s: %d %s", method, path, body, got.status, got.body)
		}
	}
	format := func(in time.Duration) string {
		return time.UnixMilli(f.nowMS.Load()).Add(in).UTC().Format(time.RFC3339)
	}
	now, soon := format(0), format(time.Minute)
	send("PUT", "1", "", `{"quantity":5,"reason":"x","closes_at":"`+now+`"}`, "malformed")
	load := `{"quantity":5,"reason":"x","closes_at":"` + soon + `"}`
	send("PUT", "1", "load", load, "")
	send("PATCH", "1", "", `{"reason":"x","closes_at":"`+now+`"}`, "malformed")
	later := `{"reason":"x","closes_at":"` + format(2*time.Minute) + `"}`
	send("PATCH", "1", "later", later, "")
	f.nowMS.Add(2 * time.Minute.Milliseconds())
	send("PUT", "1", "load", load, "") // both were done in time
	send("PATCH", "1", "later", later, "")
	send("PATCH", "1", "", later, "")
	send("PATCH", "1", "", `{"reason":"x","limit":2}`, "")
	send("PATCH", "1", "", `{"reason":"x","closes_at":"`+soon+`"}`, "malformed")
}
