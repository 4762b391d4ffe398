package edge_test

import (
	"fmt"
	"net/http"
	"strings"
)

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
