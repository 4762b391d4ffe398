package edge_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/stock"
)

// fresh loads a SKU of its own and returns its id.
func (c *contract) fresh(settings string) int64 {
	c.t.Helper()
	c.sku++
	c.load(c.sku, 100, settings)
	return c.sku
}

// close ends the window of a SKU's normal stock, in Redis: a closing that has passed is no admin's to set.
func (c *contract) close(sku int64) {
	c.t.Helper()
	store, cell := c.store(), stock.Cell{SKU: sku}
	done := stock.DoAll(c.t.Context(), store, stock.OpAdjust, []stock.Request{{
		ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "close"}.ID(store.Partitions()), Cell: cell,
		Adjustment: &stock.Adjustment{
			Kind: stock.AdjustPlain, Fields: stock.FieldClosesAt, Settings: stock.Settings{ClosesAtMS: 1}, Reason: "test",
		},
	}})[0]
	if done.Err != nil || done.Verdict != stock.VerdictOK {
		c.t.Fatalf("close SKU %d: %v, %v", sku, done.Verdict, done.Err)
	}
}

func (c *contract) shopper(user int64) string { return c.token(user, auth.RoleShopper) }

// held makes a reservation of a SKU by user 7 and returns its path.
func (c *contract) held(sku int64) string {
	c.t.Helper()
	got := c.send("POST", "/v1/reservations", c.shopper(7), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku))
	if got.status != 201 {
		c.t.Fatalf("hold SKU %d: %s", sku, got.body)
	}
	return "/v1/reservations/" + got.text("reservation_id")
}

func TestServerKeepsToItsDocument(t *testing.T) {
	t.Parallel()
	c := newContract(t)
	c.exerciseTaking()
	c.exerciseReservations()
	c.exerciseStock()
	c.exerciseSKUs()
	c.exerciseSales()
	c.exerciseExtensions()
	c.exerciseReturns()
	c.exerciseShutSales()
	c.exerciseLists()
	c.exerciseEverywhere()
	for _, s := range c.everyOperation() {
		c.exerciseForm(s)
		if s.method == http.MethodGet {
			c.exerciseHead(s)
		}
	}
	c.exerciseBackpressure()
	c.exerciseOutages()
	c.checkComplete()
}

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

	fenced, breached := c.fresh(""), c.fresh("")
	for sku, want := range map[int64]string{fenced: "fenced", breached: "breached"} {
		path := c.held(sku)
		if sku == fenced {
			c.fence(stock.Cell{SKU: sku})
		} else {
			c.breach(sku)
		}
		c.send("POST", "/v1/reservations", c.shopper(7), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku)) // finds it out
		c.shoot(shot{method: "POST", path: path + "/confirm", token: c.service, want: want})
		c.shoot(shot{method: "POST", path: path + "/release", token: c.shopper(7), want: want})
		admin := fmt.Sprintf("/admin/v1/skus/%d", sku)
		c.shoot(shot{method: "PATCH", path: admin, token: c.admin, want: want, body: `{"reason":"x","limit":1}`})
		c.shoot(shot{method: "POST", path: admin + "/adjustments", token: c.admin, want: want, body: `{"reason":"x","delta":1}`})
		listed := c.send("GET", "/admin/v1/shut-cells", c.admin, "")
		if cells := fmt.Sprintf(`{"sku_id":"%d",`, sku); !strings.Contains(listed.body, cells) || !strings.Contains(listed.body, `"`+want+`":true`) {
			c.t.Errorf("SKU %d, %s, is not among the shut cells: %s", sku, want, listed.body)
		}
	}
	c.shoot(shot{method: "GET", path: "/admin/v1/shut-cells", token: c.admin, want: "ok"})
	c.shoot(shot{method: "GET", path: "/admin/v1/shut-cells?cursor=1.0", token: c.admin, want: "ok"})
	c.shoot(shot{method: "GET", path: "/admin/v1/shut-cells?cursor=99999.0", token: c.admin, want: "malformed"})
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
	back(sku, 1, "", "mismatch", key)
	back(sku, 2, "", "wrong_state", nil)
	back(sku+1_000_000, 1, "", "not_loaded", nil)
	path := "/v1/reservations/" + again.json["reservation_id"].(string)
	c.shoot(shot{method: "GET", path: path, token: c.service, want: "ok"})
	c.shoot(shot{method: "POST", path: path + "/confirm", token: c.service, want: "wrong_state"})

	fenced, breached := c.fresh(`,"extend_max_ms":1000`), c.fresh(`,"extend_max_ms":1000`)
	for sku, want := range map[int64]string{fenced: "fenced", breached: "breached"} {
		path := c.held(sku)
		if sku == fenced {
			c.fence(stock.Cell{SKU: sku})
		} else {
			c.breach(sku)
		}
		c.send("POST", "/v1/reservations", c.shopper(7), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku)) // finds it out
		back(sku, 1, "", want, nil)
		c.shoot(shot{method: "POST", path: path + "/extend", token: c.service, body: `{"expires_at":"2100-01-01T00:00:00Z"}`, want: want})
	}
}

func (c *contract) exerciseStock() {
	sku := c.fresh("")
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/v1/stock/%d", sku), want: "ok"})
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/v1/stock/%d?sale_id=9", sku), want: "not_loaded"})
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/v1/stock?sku_ids=%d,%d", sku, sku+1_000_000), want: "ok"})
	c.shoot(shot{method: "GET", path: "/v1/stock/1?sale_id=0", want: "malformed", undocumented: true})
	c.shoot(shot{method: "GET", path: "/v1/stock?sku_ids=0", want: "malformed", undocumented: true})
}

func (c *contract) exerciseSKUs() {
	sku := c.fresh("")
	path := fmt.Sprintf("/admin/v1/skus/%d", sku)
	absent := fmt.Sprintf("/admin/v1/skus/%d", sku+1_000_000)
	key := http.Header{"Idempotency-Key": {"sku"}}

	created := fmt.Sprintf("/admin/v1/skus/%d", sku+2_000_000)
	c.shoot(shot{
		method: "PUT", path: created, token: c.admin, want: "ok", header: key,
		body: `{"quantity":5,"reason":"new","limit":2,"hold_ms":1000,"opens_at":"2026-01-01T00:00:00Z","closes_at":"2100-01-01T00:00:00.5+08:00","ack":"log","shopper_deducts":true,"frozen":false}`,
	})
	c.shoot(shot{method: "PUT", path: created, token: c.admin, want: "mismatch", header: key, body: `{"quantity":6,"reason":"new"}`})
	c.shoot(shot{method: "PUT", path: path, token: c.admin, want: "wrong_state", body: `{"quantity":5,"reason":"again"}`})
	c.shoot(shot{method: "GET", path: created, token: c.admin, want: "ok"})
	c.shoot(shot{method: "GET", path: absent, token: c.admin, want: "not_loaded"})
	c.shoot(shot{method: "GET", path: path + "?sale_id=x", token: c.admin, want: "malformed", undocumented: true})
	c.shoot(shot{method: "PATCH", path: path, token: c.admin, want: "ok", header: key, body: `{"reason":"halt","frozen":true,"limit":null}`})
	c.shoot(shot{method: "PATCH", path: path, token: c.admin, want: "mismatch", header: key, body: `{"reason":"halt","frozen":false}`})
	c.shoot(shot{method: "PATCH", path: absent, token: c.admin, want: "not_loaded", body: `{"reason":"x","limit":1}`})
	c.shoot(shot{method: "PATCH", path: path, token: c.admin, want: "malformed", undocumented: true, body: `{"reason":"nothing"}`})
	adjust := func(path, body, want string, header http.Header, undocumented bool) {
		c.t.Helper()
		c.shoot(shot{method: "POST", path: path + "/adjustments", token: c.admin, body: body, want: want, header: header, undocumented: undocumented})
	}
	key = http.Header{"Idempotency-Key": {"adjust"}}
	adjust(path, `{"delta":-1,"reason":"broken"}`, "ok", key, false)
	adjust(path, `{"delta":-2,"reason":"broken"}`, "mismatch", key, false)
	adjust(path, `{"delta":-1000,"reason":"lost"}`, "sold_out", nil, false)
	adjust(absent, `{"delta":1,"reason":"found"}`, "not_loaded", nil, false)
	adjust(path, `{"delta":0,"reason":"nothing"}`, "malformed", nil, true)
	adjust(path, `{"delta":1099511627775,"reason":"too many"}`, "malformed", nil, false)
}

func (c *contract) exerciseSales() {
	sku := c.fresh("")
	plan := fmt.Sprintf(`{"name":"Sale","items":[{"sku_id":"%d","quantity":10}],"limit":1}`, sku)
	c.shoot(shot{method: "PUT", path: "/admin/v1/sales/5", token: c.admin, body: plan, want: "ok"})
	c.shoot(shot{method: "PUT", path: "/admin/v1/sales/5", token: c.admin, body: strings.Replace(plan, ":10}", ":11}", 1), want: "mismatch"})
	c.shoot(shot{method: "PUT", path: "/admin/v1/sales/6", token: c.admin, body: strings.Replace(plan, ":10}", ":1000}", 1), want: "sold_out"})
	absent := fmt.Sprintf(`{"name":"Sale","items":[{"sku_id":"%d","quantity":1}]}`, sku+1_000_000)
	c.shoot(shot{method: "PUT", path: "/admin/v1/sales/6", token: c.admin, body: absent, want: "not_loaded"})
	c.shoot(shot{method: "GET", path: "/admin/v1/sales/5", token: c.admin, want: "ok"})
	c.shoot(shot{method: "GET", path: "/admin/v1/sales/6", token: c.admin, want: "unknown_sale"})
	c.shoot(shot{method: "GET", path: fmt.Sprintf("/admin/v1/skus/%d?sale_id=5", sku), token: c.admin, want: "ok"})
	key := http.Header{"Idempotency-Key": {"window"}}
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{"closes_at":null}`, want: "ok", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{}`, want: "ok", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{"closes_at":""}`, want: "mismatch", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{"opens_at":""}`, want: "malformed", undocumented: true})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{"closes_at":"2100-01-01T00:00:00Z"}`, want: "mismatch", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{"opens_at":"2020-01-01T00:00:00Z"}`, want: "malformed"})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/6/open", token: c.admin, body: `{}`, want: "unknown_sale"})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/close", token: c.admin, body: `{}`, want: "ok", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/close", token: c.admin, body: `{"closes_at":"2100-01-01T00:00:00Z"}`, want: "mismatch", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/6/close", token: c.admin, body: `{}`, want: "unknown_sale"})
	for _, move := range []string{"fill", "empty"} {
		c.shoot(shot{method: "POST", path: "/admin/v1/sales/6/" + move, token: c.admin, want: "unknown_sale"})
	}
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/empty", token: c.admin, want: "ok", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{}`, want: "sale_refused"})
	normal := func(delta string) {
		c.t.Helper()
		c.shoot(shot{
			method: "POST", path: fmt.Sprintf("/admin/v1/skus/%d/adjustments", sku), token: c.admin, want: "ok",
			body: fmt.Sprintf(`{"delta":%s,"reason":"normal stock"}`, delta),
		})
	}
	avail := c.send("GET", fmt.Sprintf("/admin/v1/skus/%d", sku), c.admin, "").json["avail"].(float64)
	normal(fmt.Sprint(-avail))
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/fill", token: c.admin, want: "sold_out"})
	normal(fmt.Sprint(avail))
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/fill", token: c.admin, want: "ok", header: key})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{}`, want: "ok"})
	c.shoot(shot{method: "POST", path: "/admin/v1/sales/5/empty", token: c.admin, want: "sale_refused"})
	transfer := func(more, want string, header http.Header) {
		c.t.Helper()
		c.shoot(shot{
			method: "POST", path: "/admin/v1/transfers", token: c.admin, want: want, header: header,
			body: fmt.Sprintf(`{"sku_id":"%d","reason":"unsold"%s}`, sku, more),
		})
	}
	transfer(`,"from_sale_id":"5","quantity":10`, "ok", key)
	transfer(`,"from_sale_id":"5","quantity":10`, "ok", key)
	transfer(`,"from_sale_id":"5","quantity":9`, "mismatch", key)
	transfer(`,"from_sale_id":"5","quantity":10`, "transfer_refused", nil)
	transfer(`,"from_sale_id":"5","to_sale_id":"5","quantity":1`, "malformed", nil)
}

// everyOperation is a request per operation that would succeed, or be refused for a reason of stock.
func (c *contract) everyOperation() []shot {
	sku := c.fresh(`,"shopper_deducts":true`)
	take := fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku)
	nobody := "/v1/reservations/" + strings.Repeat("0", 32)
	item := fmt.Sprintf("/admin/v1/skus/%d", sku)
	return []shot{
		{method: "POST", path: "/v1/reservations", token: c.shopper(7), body: take},
		{method: "POST", path: "/v1/deductions", token: c.service, body: strings.Replace(take, "}", `,"user_id":"7"}`, 1)},
		{method: "GET", path: nobody, token: c.service},
		{method: "POST", path: nobody + "/confirm", token: c.service},
		{method: "POST", path: nobody + "/release", token: c.service},
		{method: "POST", path: nobody + "/extend", token: c.service, body: `{"expires_at":"2100-01-01T00:00:00Z"}`},
		{method: "POST", path: "/v1/reservations/confirm", token: c.service, body: `{"reservation_ids":["` + strings.Repeat("0", 32) + `"]}`},
		{method: "POST", path: "/v1/reservations/release", token: c.service, body: `{"reservation_ids":["` + strings.Repeat("0", 32) + `"]}`},
		{method: "POST", path: "/v1/reservations/extend", token: c.service, body: `{"reservation_ids":["` + strings.Repeat("0", 32) + `"],"expires_at":"2100-01-01T00:00:00Z"}`},
		{method: "POST", path: "/v1/returns", token: c.service, body: strings.Replace(take, "}", `,"user_id":"7","reason":"x"}`, 1)},
		{method: "GET", path: fmt.Sprintf("/v1/stock/%d", sku)},
		{method: "GET", path: fmt.Sprintf("/v1/stock?sku_ids=%d", sku)},
		{method: "PUT", path: item, token: c.admin, body: `{"quantity":1,"reason":"x"}`},
		{method: "GET", path: item, token: c.admin},
		{method: "PATCH", path: item, token: c.admin, body: `{"limit":5,"reason":"x"}`},
		{method: "POST", path: item + "/adjustments", token: c.admin, body: `{"delta":-1,"reason":"x"}`},
		{method: "POST", path: "/admin/v1/transfers", token: c.admin, body: fmt.Sprintf(`{"sku_id":"%d","to_sale_id":"5","quantity":1,"reason":"x"}`, sku)},
		{method: "GET", path: "/admin/v1/shut-cells", token: c.admin},
		{method: "PUT", path: "/admin/v1/sales/9", token: c.admin, body: fmt.Sprintf(`{"name":"x","items":[{"sku_id":"%d","quantity":1}]}`, sku)},
		{method: "GET", path: "/admin/v1/sales/5", token: c.admin},
		{method: "POST", path: "/admin/v1/sales/5/open", token: c.admin, body: `{}`},
		{method: "POST", path: "/admin/v1/sales/5/close", token: c.admin, body: `{}`},
		{method: "POST", path: "/admin/v1/sales/5/fill", token: c.admin},
		{method: "POST", path: "/admin/v1/sales/5/empty", token: c.admin},
	}
}

// exerciseForm sends a request in every wrong form.
func (c *contract) exerciseForm(s shot) {
	c.t.Helper()
	with := func(want string, undocumented bool, edit func(*shot)) {
		c.t.Helper()
		wrong := s
		wrong.want, wrong.undocumented = want, undocumented
		edit(&wrong)
		c.shoot(wrong)
	}
	with("malformed", true, func(s *shot) {
		if s.body == "" {
			s.body = "{}"
		} else {
			s.body = strings.Replace(s.body, "{", `{"surprise":1,`, 1)
			s.body = strings.Replace(s.body, ",}", "}", 1)
		}
	})
	if s.token != "" {
		with("unauthorized", false, func(s *shot) { s.token = "" })
		with("unauthorized", false, func(s *shot) { s.token += "x" })
		with("forbidden", false, func(s *shot) {
			if s.token == c.admin {
				s.token = c.service
			} else {
				s.token = c.admin
			}
		})
	}
	if s.method != http.MethodGet {
		with("idempotency_key_missing", true, func(s *shot) { s.header = http.Header{"Idempotency-Key": nil} })
		with("idempotency_key_invalid", true, func(s *shot) { s.header = http.Header{"Idempotency-Key": {"a b"}} })
	}
	if s.body != "" {
		with("unsupported_media_type", true, func(s *shot) { s.header = http.Header{"Content-Type": {"text/plain"}} })
	}
}

func (c *contract) exerciseEverywhere() {
	c.shoot(shot{method: "GET", path: "/v2", want: "not_found"})
	c.shoot(shot{method: "DELETE", path: "/v1/reservations", want: "method_not_allowed"})
	c.shoot(shot{method: "GET", path: "/v1/stock/1", want: "headers_too_large", header: http.Header{"X": {strings.Repeat("x", 9000)}}})
	c.shoot(shot{
		method: "POST", path: "/v1/reservations", token: c.service, want: "payload_too_large",
		body: `{"sku_id":"1","quantity":1,"user_id":"1"` + strings.Repeat(" ", 17000) + "}",
	})
	hasty := c.shopper(77)
	for range 200 {
		if c.shoot(shot{method: "GET", path: "/v1/reservations/" + strings.Repeat("0", 32), token: hasty}).code() == "rate_limited" {
			break
		}
	}
	slow, err := net.Dial("tcp", c.node.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "GET /v1/stock/1 HTTP/1.1\r\nHost: x\r\n"); err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(slow)
	if err != nil || !bytes.Contains(text, []byte(`"code":"request_timeout"`)) {
		c.t.Errorf("a request that does not end: %q, %v", text, err)
	}
	c.seen[""]["request_timeout"] = true
}

// exerciseBackpressure fills an outbox, which no persister empties.
func (c *contract) exerciseBackpressure() {
	sku := c.fresh(`,"shopper_deducts":true,"extend_max_ms":1000`)
	held := c.held(sku)
	c.send("POST", "/v1/deductions", c.shopper(7), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku))
	for range c.cfg.Stock.OutboxEntriesMax {
		c.send("POST", fmt.Sprintf("/admin/v1/skus/%d/adjustments", sku), c.admin, `{"delta":1,"reason":"fill the outbox"}`)
	}
	for _, path := range []string{"/v1/reservations", "/v1/deductions"} {
		c.shoot(shot{
			method: "POST", path: path, token: c.shopper(7), want: "backpressure",
			body: fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku),
		})
	}
	c.shoot(shot{method: "POST", path: held + "/extend", token: c.service, want: "backpressure", body: `{"expires_at":"2100-01-01T00:00:00Z"}`})
	c.shoot(shot{
		method: "POST", path: "/v1/returns", token: c.service, want: "backpressure",
		body: fmt.Sprintf(`{"sku_id":"%d","quantity":1,"user_id":"7","reason":"x"}`, sku),
	})
}

// byLine tells whether the answer to a request is 200, and its lines have the problems.
func byLine(s *shot) bool {
	return s.path == "/v1/reservations/confirm" || s.path == "/v1/reservations/extend"
}

// exerciseOutages makes Redis hang, and then takes it away for good.
func (c *contract) exerciseOutages() {
	all := c.everyOperation()
	c.exerciseHeldUpWrites(all)
	signal := func(s syscall.Signal) {
		c.t.Helper()
		if err := syscall.Kill(c.redis.PID(), s); err != nil {
			c.t.Fatal(err)
		}
	}
	decides := func() bool { // a confirm asks Redis always
		got := c.send("POST", "/v1/reservations/"+strings.Repeat("0", 32)+"/confirm", c.service, "")
		return got.code() == "unknown_reservation"
	}
	signal(syscall.SIGSTOP)
	var wait sync.WaitGroup
	for range 40 { // more than the queue holds
		wait.Go(func() { c.shoot(all[0]) })
	}
	wait.Wait()
	for _, s := range all {
		if s.method != http.MethodGet && s.method != http.MethodPatch && !strings.Contains(s.path, "release") {
			signal(syscall.SIGCONT)
			c.until(30*time.Second, "the edge has noticed that Redis answers", decides) // so that the next call is sent
			signal(syscall.SIGSTOP)
			s.want = "outcome_unknown"
			if byLine(&s) {
				s.want = "ok"
			}
			c.shoot(s)
		}
	}
	signal(syscall.SIGCONT)
	if err := c.redis.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.until(30*time.Second, "the edge has noticed", func() bool { // what was sent to it until then is unknown
		return c.send("POST", "/v1/reservations", c.shopper(7), all[0].body).code() == "unavailable"
	})
	for _, s := range all {
		s.path = strings.NewReplacer("/v1/stock/", "/v1/stock/9", "sku_ids=", "sku_ids=9").Replace(s.path) // not remembered
		s.want = "unavailable"
		if byLine(&s) {
			s.want = "ok"
		}
		c.shoot(s)
	}
}

// exerciseHeldUpWrites has Redis answer who reads and hold up who writes: a change of settings reads before it writes.
func (c *contract) exerciseHeldUpWrites(all []shot) {
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	pause := client.B().ClientPause().Timeout(time.Minute.Milliseconds()).Write().Build()
	if err := client.Do(c.t.Context(), pause).Error(); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range all {
		if s.method == http.MethodPatch {
			s.want = "outcome_unknown"
			c.shoot(s)
		}
	}
	if err := client.Do(c.t.Context(), client.B().ClientUnpause().Build()).Error(); err != nil {
		c.t.Fatal(err)
	}
}
