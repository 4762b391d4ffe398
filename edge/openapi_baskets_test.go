package edge_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/stock"
)

func (c *contract) exerciseBaskets() {
	plain, other := c.fresh(""), c.fresh("")
	basket := func(token, want string, header http.Header, skus ...int64) {
		c.t.Helper()
		var items []string
		for _, sku := range skus {
			items = append(items, fmt.Sprintf(`{"sku_id":"%d","quantity":2}`, sku))
		}
		body := `{"items":[` + strings.Join(items, ",") + `]}`
		if token == c.service {
			body = strings.TrimSuffix(body, "}") + `,"user_id":"9"}`
		}
		c.shoot(shot{method: "POST", path: "/v1/baskets", token: token, body: body, want: want, header: header, undocumented: len(skus) == 0})
	}
	key := http.Header{"Idempotency-Key": {"basket"}}
	basket(c.shopper(7), "ok", key, plain, other)
	basket(c.shopper(7), "ok", key, other, plain)
	basket(c.shopper(7), "mismatch", key, plain)
	basket(c.service, "ok", nil, plain, other, plain)
	basket(c.shopper(7), "malformed", nil)
	basket(c.shopper(7), "not_loaded", nil, plain, plain+1_000_000)

	late := c.fresh("")
	c.close(late)
	fenced, breached := c.fresh(""), c.fresh("")
	c.fence(stock.Cell{SKU: fenced})
	c.breach(breached)
	for sku, want := range map[int64]string{
		late: "closed", fenced: "fenced", breached: "breached",
		c.fresh(`,"frozen":true`): "frozen", c.fresh(`,"limit":1`): "limit_reached",
		c.fresh(`,"opens_at":"2100-01-01T00:00:00Z"`): "not_open",
	} {
		basket(c.shopper(7), want, nil, plain, sku)
	}
	replica := c.fresh(`,"ack":"replica"`) // and there is none
	basket(c.shopper(7), "replica_missing", nil, replica)
	basket(c.shopper(7), "outcome_unknown", nil, plain, replica) // begun, and decided once there is one
	c.shoot(shot{
		method: "POST", path: "/v1/baskets", token: c.shopper(7), want: "sold_out",
		body: fmt.Sprintf(`{"items":[{"sku_id":"%d","quantity":1},{"sku_id":"%d","quantity":1000}]}`, plain, other),
	})
	c.exerciseLostBasket()
}

// exerciseLostBasket loses the record of a basket with an ended line: it cannot be held again.
func (c *contract) exerciseLostBasket() {
	key := http.Header{"Idempotency-Key": {"lost"}}
	sku := c.fresh("")
	body := fmt.Sprintf(`{"items":[{"sku_id":"%d","quantity":1}]}`, sku)
	ask := shot{method: "POST", path: "/v1/baskets", token: c.shopper(7), body: body, header: key, want: "ok"}
	held := c.shoot(ask)
	id := held.json["basket_id"].(string)
	c.shoot(shot{method: "POST", path: "/v1/reservations/" + id + "/release", token: c.shopper(7), want: "ok"})
	c.loseBasket(id)
	ask.want = "wrong_state"
	c.shoot(ask)
}

// loseBasket removes the record of a basket, as the loss of Redis' last second might.
func (c *contract) loseBasket(text string) {
	c.t.Helper()
	id, err := stock.ParseReservationID(text)
	if err != nil {
		c.t.Fatal(err)
	}
	key := fmt.Sprintf("{p%d}:baskets", id.Partition())
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	if err := client.Do(c.t.Context(), client.B().Hdel().Key(key).Field(string(id[:])).Build()).Error(); err != nil {
		c.t.Fatal(err)
	}
}
