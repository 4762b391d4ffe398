package edge_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/registry"
	"sluice/core/stock"
)

// restless matches keys that change without any request.
var restless = regexp.MustCompile(`:(relay|restorer|wait|meta)$`)

// newShop starts a shop with an edge. Tests put its SKUs into any state.
func newShop(t *testing.T) *contract {
	t.Helper()
	c := &contract{stack: newStack(t), sku: 1000}
	c.start()
	c.node.LeaveFences()
	c.admin, c.service = c.token(1, auth.RoleAdmin), c.token(2, auth.RoleService)
	return c
}

// stored returns the stock in Redis, by key.
func (c *contract) stored() map[string]string {
	c.t.Helper()
	client, all := c.stack.redis(), map[string]string{}
	keys, err := client.Do(c.t.Context(), client.B().Keys().Pattern("{p*}:*").Build()).AsStrSlice()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, key := range keys {
		if restless.MatchString(key) {
			continue
		}
		if all[key], err = client.Do(c.t.Context(), client.B().Dump().Key(key).Build()).ToString(); err != nil {
			c.t.Fatal(err)
		}
	}
	return all
}

// TestBadInputLeavesNothing sends malformed requests and requests that cannot be fulfilled. Each is refused, and leaves
// nothing in Redis or in MySQL.
func TestBadInputLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newShop(t)
	a, b := c.fresh(""), c.fresh("")
	bounded := c.fresh(`,"extend_max_ms":1000,"hold_ms":3600000`)
	plan := fmt.Sprintf(`{"name":"Sale","items":[{"sku_id":"%d","quantity":10}]`, a)
	for id, more := range map[int]string{51: `,"registered_only":true}`, 52: `}`} {
		if got := c.send("PUT", fmt.Sprintf("/admin/v1/sales/%d", id), c.admin, plan+more); got.status != 201 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	held, sold, ended := c.held(a), c.held(b), c.held(b)
	c.send("POST", sold+"/confirm", c.service, "")
	c.send("POST", ended+"/release", c.service, "")
	line := func(sku int64, quantity int) string {
		return fmt.Sprintf(`{"sku_id":"%d","quantity":%d}`, sku, quantity)
	}
	basket := func(lines ...string) string { return `{"items":[` + strings.Join(lines, ",") + `],"user_id":"7"}` }
	back := func(quantity int, more string) string {
		return fmt.Sprintf(`{"sku_id":"%d","quantity":%d,"user_id":"7","reason":"x"%s}`, b, quantity, more)
	}
	ids := func(paths ...string) string {
		for i := range paths {
			paths[i] = `"` + strings.TrimPrefix(paths[i], "/v1/reservations/") + `"`
		}
		return `{"reservation_ids":[` + strings.Join(paths, ",") + `]`
	}
	first := c.keyed("POST", "/v1/baskets", "basket", basket(line(a, 1), line(b, 1)))
	returned := c.keyed("POST", "/v1/returns", "refund", back(1, ""))
	if first.status != 201 || returned.status != 201 {
		t.Fatalf("%s, %s", first.body, returned.body)
	}
	users := func() (n int) {
		if err := c.database().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM registrations").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, registered := c.stored(), users()
	const later = `"expires_at":"2100-01-01T00:00:00Z"}`
	fifty := strings.Repeat(line(a, 1)+",", 50)
	for _, bad := range []struct {
		path, key, body string
		status          int
		code            string
	}{
		{"/v1/baskets", "", basket(), 400, "malformed"},
		{"/v1/baskets", "", basket(fifty + line(b, 1)), 400, "malformed"},
		{"/v1/baskets", "", basket(line(a, 600_000), line(b, 1), line(a, 600_000)), 400, "malformed"},
		{"/v1/baskets", "", basket(line(a, 1), line(b, 0)), 400, "malformed"},
		{"/v1/baskets", "", basket(line(a, 1), line(b+1_000_000, 1)), 404, "not_loaded"},
		{"/v1/baskets", "basket", basket(line(a, 1), line(b, 2)), 422, "mismatch"},
		{"/v1/baskets", "basket", basket(line(a, 1)), 422, "mismatch"},
		{"/v1/baskets", "basket", basket(line(a, 1), line(b, 1)), 201, ""},

		{"/v1/reservations/confirm", "", ids() + "}", 400, "malformed"},
		{"/v1/reservations/confirm", "", ids(held, held) + "}", 400, "malformed"},
		{"/v1/reservations/confirm", "", ids(held, "x") + "}", 400, "malformed"},
		{"/v1/reservations/confirm", "", ids(slices.Repeat([]string{held}, 51)...) + "}", 400, "malformed"},
		{"/v1/reservations/release", "", ids(held, strings.Repeat("0", 32), held) + "}", 400, "malformed"},
		{"/v1/reservations/release", "", ids(strings.Repeat("0", 32), sold) + "}", 200, ""}, // each line has its problem
		{"/v1/reservations/extend", "", ids(held, held) + "," + later, 400, "malformed"},
		{"/v1/reservations/extend", "", ids(held) + "}", 400, "malformed"},
		{"/v1/reservations/extend", "", ids(held, ended) + "," + later, 200, ""},

		{held + "/extend", "", "{" + later, 409, "limit_reached"},
		{held + "/extend", "", `{"expires_at":""}`, 400, "malformed"},
		{sold + "/extend", "", "{" + later, 409, "wrong_state"},
		{"/v1/reservations/" + strings.Repeat("0", 32) + "/extend", "", "{" + later, 404, "unknown_reservation"},

		{"/v1/returns", "", back(1, ""), 409, "wrong_state"}, // the only one is back
		{"/v1/returns", "refund", back(1, ""), 201, ""},
		{"/v1/returns", "refund", back(2, ""), 422, "mismatch"},
		{"/v1/returns", "", back(1, `,"sale_id":"99"`), 404, "not_loaded"},
		{"/v1/returns", "", strings.Replace(back(1, ""), fmt.Sprint(b), fmt.Sprint(b+1_000_000), 1), 404, "not_loaded"},
		{"/v1/returns", "", back(0, ""), 400, "malformed"},
		{"/v1/returns", "old", back(1, `,"asked_at":"2026-01-01T00:00:00Z"`), 404, "unknown_reservation"},

		{"/admin/v1/sales/51/registrations", "", `{"user_ids":[]}`, 400, "malformed"},
		{"/admin/v1/sales/51/registrations", "", `{"user_ids":["7","x"]}`, 400, "malformed"},
		{"/admin/v1/sales/51/registrations", "", `{"user_ids":["7"` + strings.Repeat(`,"7"`, registry.UsersMax) + `]}`, 400, "malformed"},
		{"/admin/v1/sales/52/registrations", "", `{"user_ids":["7"]}`, 400, "malformed"},
		{"/admin/v1/sales/99/registrations", "", `{"user_ids":["7"]}`, 404, "unknown_sale"},
	} {
		got := c.keyed("POST", bad.path, bad.key, bad.body)
		if got.status != bad.status || got.code() != bad.code {
			t.Errorf("%s %.200s: %d %s", bad.path, bad.body, got.status, got.body)
		}
		if after := c.stored(); !maps.Equal(after, before) {
			t.Errorf("%s %.200s: changed %v", bad.path, bad.body, changed(before, after))
			before = after
		}
	}
	if n := users(); n != registered {
		t.Errorf("%d users are registered, before it were %d", n, registered)
	}
	// A deadline beyond the bound is moved to the bound, once.
	far := c.held(bounded)
	if got := c.keyed("POST", far+"/extend", "", "{"+later); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	before = c.stored()
	if got := c.keyed("POST", far+"/extend", "", "{"+later); got.status != 200 || !maps.Equal(c.stored(), before) {
		t.Errorf("again: %d %s", got.status, got.body)
	}
}

// changed returns the keys that differ.
func changed(before, after map[string]string) (keys []string) {
	for key := range after {
		if before[key] != after[key] {
			keys = append(keys, key)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestRefusedBasketsGiveAllBack refuses baskets for one of their lines, after lines in other partitions were held. All
// units and the user's count are back at once, nothing is undecided, and the key is spent.
func TestRefusedBasketsGiveAllBack(t *testing.T) {
	t.Parallel()
	c := newShop(t)
	store, client := c.store(), c.stack.redis()
	goods := make([]int64, 3*8) // made first: the smallest SKU has the basket's record, and is not the one that refuses
	for i := range goods {
		goods[i] = c.fresh(`,"limit":2`)
	}
	used := c.fresh("")
	if got := c.keyed("POST", "/v1/baskets", "used", fmt.Sprintf(`{"items":[{"sku_id":"%d","quantity":1},{"sku_id":"%d","quantity":1}],"user_id":"7"}`, c.fresh(""), used)); got.status != 201 {
		t.Fatal(got.body)
	}
	for _, bad := range []struct {
		want, key string
		status    int
		sku       int64
		do        func(sku int64)
	}{
		{"frozen", "", 503, c.fresh(`,"frozen":true`), nil},
		{"closed", "", 410, c.fresh(""), c.close},
		{"not_open", "", 409, c.fresh(`,"opens_at":"2100-01-01T00:00:00Z"`), nil},
		{"fenced", "", 503, c.fresh(""), func(sku int64) { c.fence(stock.Cell{SKU: sku}) }},
		{"breached", "", 503, c.fresh(""), c.breach},
		{"sold_out", "", 409, c.fresh(""), func(sku int64) {
			c.send("POST", fmt.Sprintf("/admin/v1/skus/%d/adjustments", sku), c.admin, `{"delta":-99,"reason":"x"}`)
		}},
		{"limit_reached", "", 409, c.fresh(`,"limit":1`), nil},
		{"mismatch", "used", 422, used, nil}, // a line has been taken with this key for another basket
	} {
		if bad.do != nil {
			bad.do(bad.sku)
		}
		var cells []stock.Cell
		var items []string
		for _, sku := range []int64{goods[0], goods[1], bad.sku, goods[2]} {
			cells = append(cells, stock.Cell{SKU: sku})
			items = append(items, fmt.Sprintf(`{"sku_id":"%d","quantity":2}`, sku))
		}
		goods = goods[3:]
		before, _, err := store.Cells(t.Context(), cells)
		if err != nil {
			t.Fatal(err)
		}
		key := bad.key
		if key == "" {
			key = bad.want
		}
		body := `{"items":[` + strings.Join(items, ",") + `],"user_id":"7"}`
		for range 2 {
			if got := c.keyed("POST", "/v1/baskets", key, body); got.status != bad.status || got.code() != bad.want || got.json["pointer"] != "/items/2" || got.json["retryable"] == true {
				t.Errorf("%s: %d %s", bad.want, got.status, got.body)
			}
		}
		after, _, err := store.Cells(t.Context(), cells)
		if err != nil {
			t.Fatal(err)
		}
		for i := range after {
			if after[i].Balances != before[i].Balances {
				t.Errorf("%s: SKU %d has %+v, before it was %+v", bad.want, cells[i].SKU, after[i].Balances, before[i].Balances)
			}
			buyer := string(cells[i].Append(nil)) + "\x00\x00\x00\x00\x00\x00\x00\x07"
			hash := fmt.Sprintf("{p%d}:buyers:0", cells[i].Partition(store.Partitions()))
			if there, err := client.Do(t.Context(), client.B().Hexists().Key(hash).Field(buyer).Build()).AsBool(); err != nil || there {
				t.Errorf("%s: the user counts for SKU %d: %v, %v", bad.want, cells[i].SKU, there, err)
			}
			id := stock.Identity{User: 7, Route: stock.OpGather, Cell: cells[i], Key: key}.ID(store.Partitions())
			if cells[i].SKU == used {
				continue
			}
			if found, _, err := store.Reservations(t.Context(), []stock.ReservationID{id}); err != nil || found[0].State != stock.StateReleased {
				t.Errorf("%s: the line of SKU %d is %v, %v", bad.want, cells[i].SKU, found[0].State, err)
			}
		}
		for p := range store.Partitions() {
			if left, err := store.Undecided(t.Context(), p, -time.Hour, 0, 10); err != nil || len(left) > 0 {
				t.Errorf("%s: undecided are %v, %v", bad.want, left, err)
			}
		}
	}
}

// keyed sends a request of the service, or of an admin, under a key; "" is a fresh one.
func (c *contract) keyed(method, path, key, body string) answer {
	c.t.Helper()
	token := c.service
	if strings.HasPrefix(path, "/admin/") {
		token = c.admin
	}
	if key == "" {
		return c.send(method, path, token, body)
	}
	return c.send(method, path, token, body, "Idempotency-Key", key)
}
