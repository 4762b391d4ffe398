package edge_test

import "fmt"

func (c *contract) exerciseRegistrations() {
	sku := c.fresh("")
	plan := fmt.Sprintf(`{"name":"Sale","items":[{"sku_id":"%d","quantity":10}],"shopper_deducts":true`, sku)
	c.shoot(shot{method: "PUT", path: "/admin/v1/sales/51", token: c.admin, body: plan + `,"registered_only":true,"extend_max_ms":1000}`, want: "ok"})
	c.shoot(shot{method: "PUT", path: "/admin/v1/sales/52", token: c.admin, body: plan + `,"registered_only":false}`, want: "ok"})
	register := func(sale int, token, want string) {
		c.t.Helper()
		c.shoot(shot{method: "POST", path: fmt.Sprintf("/admin/v1/sales/%d/registrations", sale), token: token, body: `{"user_ids":["7","8"]}`, want: want})
	}
	register(51, c.admin, "ok")
	register(51, c.service, "ok")
	register(51, c.shopper(7), "forbidden")
	register(52, c.admin, "malformed")
	register(53, c.admin, "unknown_sale")
	for _, path := range []string{"/v1/reservations", "/v1/deductions"} {
		c.shoot(shot{method: "POST", path: path, token: c.shopper(9), body: fmt.Sprintf(`{"sku_id":"%d","quantity":1,"sale_id":"51"}`, sku), want: "not_registered"})
	}
	c.shoot(shot{method: "POST", path: "/v1/reservations", token: c.shopper(7), body: fmt.Sprintf(`{"sku_id":"%d","quantity":1,"sale_id":"51"}`, sku), want: "not_open"})
	other := c.fresh("") // a basket holds nothing for whom one of its lines refuses
	basket := shot{
		method: "POST", path: "/v1/baskets", token: c.shopper(9), want: "not_registered",
		body: fmt.Sprintf(`{"items":[{"sku_id":"%d","quantity":1},{"sku_id":"%d","quantity":1,"sale_id":"51"}]}`, other, sku),
	}
	if got := c.shoot(basket); got.json["pointer"] != "/items/1" {
		c.t.Errorf("a basket of a stranger: %s", got.body)
	}
	c.shoot(shot{method: "POST", path: "/v1/reservations", token: c.shopper(9), body: fmt.Sprintf(`{"sku_id":"%d","quantity":100}`, other), want: "ok"})
}
