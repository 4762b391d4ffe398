package edge_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
	"sluice/core/stock"
)

// exerciseShutSales leads a sale through its life, each time while one of its SKUs is fenced: the answer names that SKU
// alone, also when the request is repeated, and the same request does the rest once the SKU is repaired.
func (c *contract) exerciseShutSales() {
	const id = 50
	skus := []int64{c.fresh(""), c.fresh(""), c.fresh("")}
	shut := skus[1]
	var items []string
	for _, sku := range skus {
		items = append(items, fmt.Sprintf(`{"sku_id":"%d","quantity":10}`, sku))
	}
	path := fmt.Sprintf("/admin/v1/sales/%d", id)
	plan := fmt.Sprintf(`{"name":"Sale","items":[%s]}`, strings.Join(items, ","))
	user := int64(5000)
	take := func(sku int64, pool uint32) string {
		c.t.Helper()
		user++
		body := fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku)
		if pool > 0 {
			body = fmt.Sprintf(`{"sku_id":"%d","quantity":1,"sale_id":"%d"}`, sku, pool)
		}
		return c.send("POST", "/v1/reservations", c.token(user, auth.RoleShopper), body).code()
	}
	for _, step := range []struct {
		method, path, body string
		pool               uint32 // of the cell that is fenced
		then               string // what a reservation in the sale is answered with
	}{
		{"PUT", "", plan, 0, "not_open"},
		{"POST", "/open", `{"opens_at":"2100-01-01T00:00:00Z"}`, id, "not_open"},
		{"POST", "/close", `{}`, id, "closed"},
		{"POST", "/empty", "", id, "closed"},
		{"POST", "/fill", "", 0, "closed"},
	} {
		repair := c.fence(stock.Cell{SKU: shut, Pool: step.pool})
		if code := take(shut, step.pool); code != "fenced" {
			c.t.Errorf("%s: SKU %d of sale %d: %s, want it to be fenced", step.path, shut, step.pool, code)
		}
		key := http.Header{"Idempotency-Key": {"shut"}}
		s := shot{method: step.method, path: path + step.path, token: c.admin, body: step.body, want: "partly_done", header: key}
		got := c.shoot(s)
		for _, sku := range skus {
			if named := strings.Contains(got.text("detail"), fmt.Sprintf("SKU %d: ", sku)); named != (sku == shut) {
				c.t.Errorf("%s: names SKU %d: %v: %s", step.path, sku, named, got.body)
			}
		}
		if got.status != 409 || got.header.Get("Retry-After") == "" || got.json["retryable"] != true {
			c.t.Errorf("%s: %d %v %s", step.path, got.status, got.header, got.body)
		}
		if again := c.send(s.method, s.path, s.token, s.body, "Idempotency-Key", "shut"); again.status != 409 {
			c.t.Errorf("%s, repeated while SKU %d is fenced: %d %s", step.path, shut, again.status, again.body)
		}
		repair()
		s.want = "ok"
		done := c.shoot(s)
		list, _ := done.json["items"].([]any)
		for _, one := range list {
			if item, _ := one.(map[string]any); item["settled"] != true || item["window_set"] != true || item["fenced"] == true {
				c.t.Errorf("%s, repeated after the repair: %v", step.path, one)
			}
		}
		if len(list) != len(skus) {
			c.t.Errorf("%s: %s", step.path, done.body)
		}
		for _, sku := range skus {
			if code := take(sku, id); code != step.then {
				c.t.Errorf("%s: SKU %d in the sale: %s, want %s", step.path, sku, code, step.then)
			}
		}
	}
}
