package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"sluice/core/stock"
)

// Item is units of one SKU in a basket.
type Item struct {
	SKU      int64  `json:"sku_id,string"`
	Quantity int64  `json:"quantity"`
	Sale     uint32 `json:"sale_id,string,omitzero"` // 0: from the SKU's normal stock
}

// Basket says what to hold, all or nothing: 1 to 50 items. The edge adds up items of one SKU and sale.
type Basket struct {
	Items []Item
	User  int64  // the user for whom a service acts; 0 for a shopper, who acts for itself
	Key   string // Idempotency-Key; "": the client makes one
}

// HeldBasket is a basket of which all lines are held.
type HeldBasket struct {
	ID           string        `json:"basket_id"`
	State        string        `json:"state"`               // held
	ExpiresAt    time.Time     `json:"expires_at,omitzero"` // when the first of its reservations expires; zero: none is held any more
	Reservations []Reservation `json:"reservations"`        // those of its lines, in the order of the items
	Receipt      `json:"-"`
}

func (b *HeldBasket) complete() bool { return b.ID != "" && b.State != "" && b.Reservations != nil }

// HoldBasket holds all items of a basket, or none. The problem of a refusal points to the item. After a refusal that is not
// retryable, whatever its status, only a basket with a new key may succeed.
func (c *Client) HoldBasket(ctx context.Context, b Basket) (HeldBasket, error) {
	return send[HeldBasket](ctx, c, call{method: http.MethodPost, path: "/v1/baskets", key: b.Key, body: struct {
		Items []Item `json:"items"`
		User  int64  `json:"user_id,string,omitzero"`
	}{b.Items, b.User}})
}

// Deployment has the numbers from which ids of requests are computed, and how long edges remember requests.
type Deployment struct {
	Partitions  int   `json:"partitions"`   // never changes
	RetentionMS int64 `json:"retention_ms"` // after a reservation has ended
}

func (d *Deployment) complete() bool { return d.Partitions > 0 && d.RetentionMS > 0 }

// Deployment asks for the deployment that the edge belongs to.
func (c *Client) Deployment(ctx context.Context) (Deployment, error) {
	return send[Deployment](ctx, c, call{method: http.MethodGet, path: "/v1/deployment"})
}

// ReservationIDs returns the ids that the reservations of a basket will have, in the order of its items, so that a shop can
// write them down before it asks. Items of one SKU and sale share one. The basket needs its key, and its user also for a
// shopper.
func (b Basket) ReservationIDs(in Deployment) ([]string, error) {
	items := make([]stock.Line, len(b.Items))
	for i, item := range b.Items {
		items[i] = stock.Line{Cell: stock.Cell{SKU: item.SKU, Pool: item.Sale}, Quantity: item.Quantity}
	}
	if err := identified(b.User, b.Key, in); err != nil {
		return nil, err
	}
	basket, err := stock.NewBasket(b.User, b.Key, items, in.Partitions)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	ids := map[stock.Cell]string{}
	for _, l := range basket.Lines {
		ids[l.Cell] = l.ID.String()
	}
	list := make([]string, len(items))
	for i := range items {
		list[i] = ids[items[i].Cell]
	}
	return list, nil
}

// ReservationID returns the id that the reservation will have, of a deduction if deducts. The take needs its key, and its user
// also for a shopper.
func (t Take) ReservationID(deducts bool, in Deployment) (string, error) {
	route := stock.OpReserve
	if deducts {
		route = stock.OpDeduct
	}
	return idOf(route, t.User, t.SKU, t.Sale, t.Key, in)
}

// ReservationID returns the id that the return will have. It needs its key.
func (r Return) ReservationID(in Deployment) (string, error) {
	return idOf(stock.OpReturn, r.User, r.SKU, r.Sale, r.Key, in)
}

func idOf(route stock.Op, user, sku int64, sale uint32, key string, in Deployment) (string, error) {
	if err := identified(user, key, in); err != nil {
		return "", err
	}
	id := stock.Identity{User: user, Route: route, Cell: stock.Cell{SKU: sku, Pool: sale}, Key: key}.ID(in.Partitions)
	return id.String(), nil
}

// identified checks the values from which every id is computed.
func identified(user int64, key string, in Deployment) error {
	if user < 1 || key == "" || in.Partitions < 1 {
		return fmt.Errorf("client: an id follows from a user, a key and the number of partitions: got %d, %q and %d", user, key, in.Partitions)
	}
	return nil
}
