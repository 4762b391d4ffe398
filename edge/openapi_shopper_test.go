package edge_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/stock"
)

func (c *contract) exerciseTaking() {
	plain := c.fresh(`,"shopper_deducts":true`)
	limited := c.fresh(`,"shopper_deducts":true,"limit":1`)
	early := c.fresh(`,"shopper_deducts":true,"opens_at":"2100-01-01T00:00:00Z"`)
	late := c.fresh(`,"shopper_deducts":true`)
	c.close(late)
	frozen := c.fresh(`,"shopper_deducts":true,"frozen":true`)
	fenced, breached := c.fresh(`,"shopper_deducts":true`), c.fresh(`,"shopper_deducts":true`)
	safe := c.fresh(`,"shopper_deducts":true,"ack":"replica"`) // and there is none
	c.fence(stock.Cell{SKU: fenced})
	c.breach(breached)
	for _, path := range []string{"/v1/reservations", "/v1/deductions"} {
		take := func(token string, sku, quantity int64, more, want string, header http.Header) {
			c.t.Helper()
			body := fmt.Sprintf(`{"sku_id":"%d","quantity":%d%s}`, sku, quantity, more)
			c.shoot(shot{method: "POST", path: path, token: token, body: body, want: want, header: header})
		}
		key := http.Header{"Idempotency-Key": {"mine"}}
		take(c.shopper(7), plain, 1, "", "ok", key)
		take(c.shopper(7), plain, 1, `,"sale_id":null,"user_id":null`, "ok", key)
		take(c.shopper(7), plain, 2, "", "mismatch", key)
		take(c.service, plain, 1, `,"user_id":"9"`, "ok", nil)
		take(c.service, plain, 1, "", "malformed", nil)
		take(c.shopper(7), plain, 1, `,"user_id":"8"`, "forbidden", nil)
		take(c.shopper(7), plain, 1, `,"sale_id":"99"`, "not_loaded", nil)
		take(c.shopper(7), plain, 1000, "", "sold_out", nil)
		take(c.shopper(7), limited, 2, "", "limit_reached", nil)
		take(c.shopper(7), early, 1, "", "not_open", nil)
		take(c.shopper(7), late, 1, "", "closed", nil)
		take(c.shopper(7), frozen, 1, "", "frozen", nil)
		take(c.shopper(7), fenced, 1, "", "fenced", nil)
		take(c.shopper(7), breached, 1, "", "breached", nil)
		take(c.shopper(7), safe, 1, "", "replica_missing", nil)
	}
	c.shoot(shot{
		method: "POST", path: "/v1/deductions", token: c.shopper(7), want: "forbidden",
		body: fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, c.fresh("")),
	})
}

func (c *contract) exerciseReservations() {
	sku := c.fresh("")
	path := c.held(sku)
	c.shoot(shot{method: "GET", path: path, token: c.shopper(7), want: "ok"})
	c.shoot(shot{method: "GET", path: path, token: c.service, want: "ok"})
	c.shoot(shot{method: "GET", path: path, token: c.shopper(8), want: "unknown_reservation"})
	c.shoot(shot{method: "POST", path: path + "/confirm", token: c.service, want: "ok"})
	c.shoot(shot{method: "POST", path: path + "/release", token: c.shopper(7), want: "wrong_state"})
	path = c.held(sku)
	c.shoot(shot{method: "POST", path: path + "/release", token: c.shopper(7), want: "ok"})
	c.shoot(shot{method: "POST", path: path + "/confirm", token: c.service, want: "wrong_state"})
	nobody := "/v1/reservations/" + strings.Repeat("0", 32)
	c.shoot(shot{method: "POST", path: nobody + "/confirm", token: c.service, want: "unknown_reservation"})
	c.shoot(shot{method: "POST", path: nobody + "/release", token: c.service, want: "unknown_reservation"})

	c.eachShut("", func(sku int64, path, want string) {
		c.shoot(shot{method: "POST", path: path + "/confirm", token: c.service, want: want})
		c.shoot(shot{method: "POST", path: path + "/release", token: c.shopper(7), want: want})
		admin := fmt.Sprintf("/admin/v1/skus/%d", sku)
		c.shoot(shot{method: "PATCH", path: admin, token: c.admin, want: want, body: `{"reason":"x","limit":1}`})
		c.shoot(shot{method: "POST", path: admin + "/adjustments", token: c.admin, want: want, body: `{"reason":"x","delta":1}`})
		listed := c.send("GET", "/admin/v1/shut-cells", c.admin, "")
		cell := fmt.Sprintf(`{"sku_id":"%d",`, sku)
		for next, _ := listed.json["next_cursor"].(string); next != "" && !strings.Contains(listed.body, cell); next, _ = listed.json["next_cursor"].(string) {
			listed = c.send("GET", "/admin/v1/shut-cells?cursor="+next, c.admin, "")
		}
		if !strings.Contains(listed.body, cell) || !strings.Contains(listed.body, `"`+want+`":true`) {
			c.t.Errorf("SKU %d, %s, is not among the shut cells: %s", sku, want, listed.body)
		}
	})
	c.shoot(shot{method: "GET", path: "/admin/v1/shut-cells", token: c.admin, want: "ok"})
	c.shoot(shot{method: "GET", path: "/admin/v1/shut-cells?cursor=1.0", token: c.admin, want: "ok"})
	c.shoot(shot{method: "GET", path: "/admin/v1/shut-cells?cursor=99999.0", token: c.admin, want: "malformed"})
}

// eachShut shoots at a SKU that is fenced and at one that is breached. path is that of a reservation in it, and want what is
// said of it.
func (c *contract) eachShut(settings string, shoot func(sku int64, path, want string)) {
	fenced, breached := c.fresh(settings), c.fresh(settings)
	for sku, want := range map[int64]string{fenced: "fenced", breached: "breached"} {
		path := c.held(sku)
		if sku == fenced {
			c.fence(stock.Cell{SKU: sku})
		} else {
			c.breach(sku)
		}
		c.send("POST", "/v1/reservations", c.shopper(7), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku)) // finds it out
		shoot(sku, path, want)
	}
}

func (c *contract) exerciseExtensions() {
	sku, plain := c.fresh(`,"extend_max_ms":3600000`), c.fresh("")
	until := `{"expires_at":"2100-01-01T00:00:00Z"}`
	extend := func(path, want string) {
		c.t.Helper()
		c.shoot(shot{method: "POST", path: path + "/extend", token: c.service, body: until, want: want})
	}
	path := c.held(sku)
	extend(path, "ok")
	extend(path, "ok")
	extend(c.held(plain), "limit_reached")
	c.shoot(shot{method: "POST", path: path + "/release", token: c.shopper(7), want: "ok"})
	extend(path, "wrong_state")
	extend("/v1/reservations/"+strings.Repeat("0", 32), "unknown_reservation")
	list := func(op, token, want string, ids ...string) answer {
		c.t.Helper()
		body := `{"reservation_ids":["` + strings.Join(ids, `","`) + `"]}`
		if op == "extend" {
			body = strings.Replace(body, "}", `,"expires_at":"2100-01-01T00:00:00Z"}`, 1)
		}
		return c.shoot(shot{method: "POST", path: "/v1/reservations/" + op, token: token, body: body, want: want})
	}
	id := func(path string) string { return strings.TrimPrefix(path, "/v1/reservations/") }
	nobody := strings.Repeat("0", 32)
	a, b := id(c.held(sku)), id(c.held(sku))
	for _, step := range []struct {
		op, token string
		want      []string
	}{
		{"extend", c.service, []string{"held", "held", "unknown_reservation"}},
		{"confirm", c.service, []string{"confirmed", "confirmed", "unknown_reservation"}},
		{"release", c.shopper(7), []string{"wrong_state", "wrong_state", "unknown_reservation"}},
		{"release", c.shopper(8), []string{"unknown_reservation", "unknown_reservation", "unknown_reservation"}},
	} {
		got := list(step.op, step.token, "ok", a, b, nobody)
		for i, line := range got.json["data"].([]any) {
			said := line.(map[string]any)
			if r, ok := said["reservation"].(map[string]any); ok {
				if r["state"] != step.want[i] {
					c.t.Errorf("%s line %d: %v, want %s", step.op, i, line, step.want[i])
				}
			} else if said["problem"].(map[string]any)["code"] != step.want[i] {
				c.t.Errorf("%s line %d: %v, want %s", step.op, i, line, step.want[i])
			}
		}
	}
}

func (c *contract) exerciseReturns() {
	sku := c.fresh(`,"shopper_deducts":true`)
	c.shoot(shot{method: "POST", path: "/v1/deductions", token: c.shopper(7), body: fmt.Sprintf(`{"sku_id":"%d","quantity":3}`, sku), want: "ok"})
	back := func(sku, quantity int64, more, want string, header http.Header) answer {
		c.t.Helper()
		body := fmt.Sprintf(`{"sku_id":"%d","quantity":%d,"user_id":"7","reason":"did not fit"%s}`, sku, quantity, more)
		return c.shoot(shot{method: "POST", path: "/v1/returns", token: c.service, body: body, want: want, header: header})
	}
	key := http.Header{"Idempotency-Key": {"refund"}}
	back(sku, 2, "", "ok", key)
	again := back(sku, 2, `,"sale_id":null`, "ok", key)
	back(sku, 2, `,"asked_at":"2026-01-01T00:00:00Z"`, "ok", key)
	back(sku, 1, `,"asked_at":"2026-01-01T00:00:00Z"`, "mismatch", key)
	back(sku, 1, "", "mismatch", key)
	back(sku, 2, "", "wrong_state", nil)
	back(sku+1_000_000, 1, "", "not_loaded", nil)
	path := "/v1/reservations/" + again.json["reservation_id"].(string)
	c.shoot(shot{method: "GET", path: path, token: c.service, want: "ok"})
	c.shoot(shot{method: "GET", path: "/v1/returns/" + again.json["reservation_id"].(string), token: c.service, want: "ok"})
	c.shoot(shot{method: "GET", path: "/v1/returns/" + again.json["reservation_id"].(string), token: c.shopper(7), want: "forbidden"})
	c.shoot(shot{method: "POST", path: path + "/confirm", token: c.service, want: "wrong_state"})
	c.shoot(shot{method: "GET", path: "/v1/deployment", token: c.service, want: "ok"})

	c.eachShut(`,"extend_max_ms":1000`, func(sku int64, path, want string) {
		back(sku, 1, "", want, nil)
		c.shoot(shot{method: "POST", path: path + "/extend", token: c.service, body: `{"expires_at":"2100-01-01T00:00:00Z"}`, want: want})
	})
}

func (c *contract) exerciseStock() {
	sku := c.fresh("")
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/v1/stock/%d", sku), want: "ok"})
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/v1/stock/%d?sale_id=9", sku), want: "not_loaded"})
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/v1/stock?sku_ids=%d,%d", sku, sku+1_000_000), want: "ok"})
	c.shoot(shot{method: "GET", path: "/v1/stock/1?sale_id=0", want: "malformed", undocumented: true})
	c.shoot(shot{method: "GET", path: "/v1/stock?sku_ids=0", want: "malformed", undocumented: true})
}
