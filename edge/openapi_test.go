package edge_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

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
	c.exerciseRegistrations()
	c.exerciseExtensions()
	c.exerciseReturns()
	c.exerciseBaskets()
	c.exerciseShutSales()
	c.exerciseLists()
	c.exerciseEverywhere()
	for _, s := range c.everyOperation() {
		c.exerciseForm(s)
		if s.method == http.MethodGet {
			c.document.Head(c.t, s.of())
		}
	}
	c.exerciseBackpressure()
	c.exerciseOutages()
	c.document.CheckComplete(t, unreached)
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
		{method: "GET", path: "/v1/returns/" + strings.Repeat("0", 32), token: c.service},
		{method: "GET", path: "/v1/deployment", token: c.service},
		{method: "POST", path: nobody + "/confirm", token: c.service},
		{method: "POST", path: nobody + "/release", token: c.service},
		{method: "POST", path: nobody + "/extend", token: c.service, body: `{"expires_at":"2100-01-01T00:00:00Z"}`},
		{method: "POST", path: "/v1/reservations/confirm", token: c.service, body: `{"reservation_ids":["` + strings.Repeat("0", 32) + `"]}`},
		{method: "POST", path: "/v1/reservations/release", token: c.service, body: `{"reservation_ids":["` + strings.Repeat("0", 32) + `"]}`},
		{method: "POST", path: "/v1/reservations/extend", token: c.service, body: `{"reservation_ids":["` + strings.Repeat("0", 32) + `"],"expires_at":"2100-01-01T00:00:00Z"}`},
		{method: "POST", path: "/v1/returns", token: c.service, body: strings.Replace(take, "}", `,"user_id":"7","reason":"x"}`, 1)},
		{method: "POST", path: "/v1/baskets", token: c.service, body: `{"items":[` + take + `],"user_id":"7"}`},
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
		{method: "POST", path: "/admin/v1/sales/51/registrations", token: c.admin, body: `{"user_ids":["7"]}`},
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
			switch {
			case strings.HasSuffix(s.path, "/registrations"): // admins and services may
				s.token = c.shopper(7)
			case s.token == c.admin:
				s.token = c.service
			default:
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
	c.document.Saw("", "request_timeout")
}
