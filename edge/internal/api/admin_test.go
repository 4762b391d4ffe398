package api

import (
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/event"
	"sluice/core/stock"
)

func TestLoadingMakesAndNeverSets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin := f.token(1, auth.RoleAdmin)
	put := call{method: "PUT", path: "/admin/v1/skus/5", token: admin, key: "load", body: `{"quantity":10,"reason":"first","limit":2}`}
	got := f.do(put)
	if got.status != 201 || got.json["changed"] != true || got.json["total"] != 10.0 || got.json["limit"] != 2.0 || got.json["hold_ms"] != 900000.0 || got.json["seq"] != 1.0 {
		t.Fatalf("load: %d %s", got.status, got.body)
	}
	if added := f.noted(&f.added); len(added) != 1 || added[0].SKU != 5 {
		t.Errorf("the screen was told of %v", added)
	}
	if got := f.do(put); got.status != 201 || got.json["changed"] != false || got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("load again: %d %v %s", got.status, got.header, got.body)
	}
	put.key = "other"
	if got := f.do(put); got.code() != "wrong_state" || f.state(stock.Cell{SKU: 5}).Total != 10 {
		t.Errorf("load what is there: %s", got.body)
	}
}

// An admin who sets the level replica while there is no replica gets a warning. Nobody else gets one.
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

// Each change tells whether it made a difference, and what only reads says nothing of it.
func TestChangesTellWhetherTheyDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 10, func(s *stock.Settings) { s.Limit = 3 })
	f.load(stock.Cell{SKU: 5, Pool: 9}, 0, nil)
	admin := f.token(1, auth.RoleAdmin)
	const sku, transfers = "/admin/v1/skus/5", "/admin/v1/transfers"
	for _, c := range []struct {
		method, path, key, body string
		changed                 any
	}{
		{"PATCH", sku, "a", `{"reason":"x","limit":4}`, true},
		{"PATCH", sku, "a", `{"reason":"x","limit":4}`, false},
		{"PATCH", sku, "b", `{"reason":"x","limit":4}`, false},
		{"PATCH", sku, "c", `{"reason":"x","limit":4,"frozen":true}`, true},
		{"PATCH", sku, "d", `{"reason":"x","frozen":false,"opens_at":""}`, true},
		{"PATCH", sku, "e", `{"reason":"x","frozen":false,"opens_at":""}`, false},
		{"POST", sku + "/adjustments", "f", `{"reason":"x","delta":-1}`, true},
		{"POST", sku + "/adjustments", "f", `{"reason":"x","delta":-1}`, false},
		{"POST", transfers, "g", `{"sku_id":"5","to_sale_id":"9","quantity":2,"reason":"x"}`, true},
		{"POST", transfers, "g", `{"sku_id":"5","to_sale_id":"9","quantity":2,"reason":"x"}`, false},
		{"GET", sku, "", "", nil},
	} {
		if got := f.do(call{method: c.method, path: c.path, token: admin, key: c.key, body: c.body}); got.status != 200 || got.json["changed"] != c.changed {
			t.Errorf("%s %s, key %q, %s: %d %s, want changed %v", c.method, c.path, c.key, c.body, got.status, got.body, c.changed)
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

// An adjustment that fills a cell gets its first answer when it is repeated, though there is no more room by then.
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
