package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Ack is when a request is acknowledged.
type Ack string

// The acknowledge levels.
const (
	AckDefault Ack = "default" // as the deployment has chosen
	AckRedis   Ack = "redis"
	AckReplica Ack = "replica"
	AckLog     Ack = "log"
)

// Settings say how a SKU is sold. The client does not send members that are nil or empty: they stay as they are, or
// get their default.
type Settings struct {
	Limit          *int64         // units that one user may hold and own; 0: no limit
	Hold           *time.Duration // until a reservation expires, in whole ms
	ExtendMax      *time.Duration // how far a deadline may be moved beyond the first one, in whole ms; 0: not at all
	OpensAt        *time.Time     // the zero time takes the bound away
	ClosesAt       *time.Time     // the zero time takes the bound away
	Ack            Ack
	ShopperDeducts *bool
	Frozen         *bool
}

// settings are Settings as a body has them.
type settings struct {
	Limit          *int64  `json:"limit,omitzero"`
	HoldMS         *int64  `json:"hold_ms,omitzero"`
	ExtendMaxMS    *int64  `json:"extend_max_ms,omitzero"`
	OpensAt        *string `json:"opens_at,omitzero"`
	ClosesAt       *string `json:"closes_at,omitzero"`
	Ack            Ack     `json:"ack,omitzero"`
	ShopperDeducts *bool   `json:"shopper_deducts,omitzero"`
	Frozen         *bool   `json:"frozen,omitzero"`
}

func (s Settings) body() settings {
	return settings{
		Limit: s.Limit, HoldMS: wholeMS(s.Hold), ExtendMaxMS: wholeMS(s.ExtendMax), OpensAt: bound(s.OpensAt), ClosesAt: bound(s.ClosesAt),
		Ack: s.Ack, ShopperDeducts: s.ShopperDeducts, Frozen: s.Frozen,
	}
}

func wholeMS(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	return new(d.Milliseconds())
}

// bound is a bound of a window. The zero time is the empty string, which takes it away.
func bound(t *time.Time) *string {
	switch {
	case t == nil:
		return nil
	case t.IsZero():
		return new("")
	}
	return new(t.UTC().Format(time.RFC3339Nano))
}

// Cell is the stock of a SKU, normal or of a sale, as Redis has it: Total = Avail + Held + Sold.
type Cell struct {
	SKU            int64     `json:"sku_id,string"`
	Sale           uint32    `json:"sale_id,string,omitzero"`
	Total          int64     `json:"total"`
	Avail          int64     `json:"avail"`
	Held           int64     `json:"held"`
	Sold           int64     `json:"sold"`
	Limit          int64     `json:"limit,omitzero"` // units per user; 0: no limit
	HoldMS         int64     `json:"hold_ms"`
	ExtendMaxMS    int64     `json:"extend_max_ms,omitzero"` // how far a deadline may be moved; 0: not at all
	OpensAt        time.Time `json:"opens_at,omitzero"`      // zero where it is always open, and while it is planned
	ClosesAt       time.Time `json:"closes_at,omitzero"`     // zero where it never closes
	Ack            Ack       `json:"ack"`
	ShopperDeducts bool      `json:"shopper_deducts"`
	RegisteredOnly bool      `json:"registered_only,omitzero"` // of a sale's stock: only registered users may take
	Planned        bool      `json:"planned"`                  // in a sale that nobody has opened yet
	Frozen         bool      `json:"frozen"`                   // stopped by an admin
	Fenced         bool      `json:"fenced"`                   // stopped because Redis lost acknowledged effects
	Breached       bool      `json:"breached"`                 // stopped because the counters did not add up
	Epoch          uint32    `json:"epoch"`
	Seq            uint64    `json:"seq"`
	Changed        bool      `json:"changed,omitzero"` // this call changed it, or this attempt of it; always false for calls that read
	Receipt        `json:"-"`
}

func (c *Cell) complete() bool { return c.SKU != 0 && c.HoldMS != 0 }

// Load is a SKU with its first stock.
type Load struct {
	SKU      int64
	Quantity int64
	Reason   string
	Settings Settings
	Key      string // Idempotency-Key; "": the client makes one
}

// LoadSKU makes a SKU. If the SKU exists, it stays as it is, and the error is CodeWrongState.
func (c *Client) LoadSKU(ctx context.Context, l Load) (Cell, error) {
	return send[Cell](ctx, c, call{admin: true, method: http.MethodPut, path: skuPath(l.SKU), key: l.Key, body: struct {
		Quantity int64  `json:"quantity"`
		Reason   string `json:"reason"`
		settings
	}{l.Quantity, l.Reason, l.Settings.body()}})
}

// ShowSKU shows a SKU's stock, normal or in a sale, as Redis has it.
func (c *Client) ShowSKU(ctx context.Context, sku int64, sale uint32) (Cell, error) {
	return send[Cell](ctx, c, call{admin: true, method: http.MethodGet, path: skuPath(sku), query: inSale(sale)})
}

// Change is a change of a SKU's settings, of its normal stock or in a sale.
type Change struct {
	SKU      int64
	Sale     uint32
	Reason   string
	Settings Settings // at least one; a sale's window is set by opening and closing the sale
	Key      string   // Idempotency-Key; "": the client makes one
}

// ChangeSKU changes settings of a SKU.
func (c *Client) ChangeSKU(ctx context.Context, ch Change) (Cell, error) {
	return send[Cell](ctx, c, call{admin: true, method: http.MethodPatch, path: skuPath(ch.SKU), key: ch.Key, body: struct {
		Sale   uint32 `json:"sale_id,string,omitzero"`
		Reason string `json:"reason"`
		settings
	}{ch.Sale, ch.Reason, ch.Settings.body()}})
}

// Adjustment is a change of a SKU's stock, of its normal stock or in a sale.
type Adjustment struct {
	SKU    int64
	Sale   uint32
	Delta  int64 // added to total and avail
	Reason string
	Key    string // Idempotency-Key; "": the client makes one
}

// AdjustSKU changes the stock of a SKU by a delta. If avail does not cover a negative delta, the error is
// CodeSoldOut.
func (c *Client) AdjustSKU(ctx context.Context, a Adjustment) (Cell, error) {
	return send[Cell](ctx, c, call{
		admin: true, method: http.MethodPost, path: skuPath(a.SKU) + "/adjustments", key: a.Key,
		body: struct {
			Delta  int64  `json:"delta"`
			Reason string `json:"reason"`
			Sale   uint32 `json:"sale_id,string,omitzero"`
		}{a.Delta, a.Reason, a.Sale},
	})
}

func skuPath(sku int64) string { return "/admin/v1/skus/" + strconv.FormatInt(sku, 10) }

// StockRow is the stock of a SKU as MySQL has it.
type StockRow struct {
	SKU         int64     `json:"sku_id,string"`
	Sale        uint32    `json:"sale_id,string,omitzero"`
	Bucket      int       `json:"bucket,omitzero"`
	Total       int64     `json:"total"`
	Avail       int64     `json:"avail"`
	Held        int64     `json:"held"`
	Sold        int64     `json:"sold"`
	SafeStock   int64     `json:"safe_stock"`
	WarehouseID int64     `json:"warehouse_id"`
	Epoch       uint32    `json:"epoch"`
	Seq         uint64    `json:"seq"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// StockFilter is which stock to list.
type StockFilter struct {
	Sale     uint32 // 0: normal stock
	AvailMax *int64 // only SKUs of which so many units are free, or fewer
}

// ListSKUs lists the stock of all SKUs, normal or of a sale.
func (c *Client) ListSKUs(ctx context.Context, f StockFilter, p Page) (List[StockRow], error) {
	q := p.query()
	set(q, "sale_id", int64(f.Sale))
	if f.AvailMax != nil {
		q.Set("avail_max", strconv.FormatInt(*f.AvailMax, 10))
	}
	return send[List[StockRow]](ctx, c, call{admin: true, method: http.MethodGet, path: "/admin/v1/skus", query: q})
}

// set sets a parameter that is not 0.
func set(q url.Values, name string, value int64) {
	if value != 0 {
		q.Set(name, strconv.FormatInt(value, 10))
	}
}

// Transfer is free units of a SKU on their way between its normal stock (0) and a sale's, or between two sales'.
type Transfer struct {
	SKU              int64
	FromSale, ToSale uint32
	Quantity         int64
	Reason           string
	Key              string // Idempotency-Key; "": the client makes one
}

// Transferred are the two stocks after a transfer.
type Transferred struct {
	From    Cell `json:"from"`
	To      Cell `json:"to"`
	Changed bool `json:"changed"` // this call changed it, or this attempt of it
	Receipt `json:"-"`
}

func (t *Transferred) complete() bool { return t.From.complete() && t.To.complete() }

// Transfer moves units. After CodeInTransit the units have left the one stock and not arrived in the other. The same
// call with its key brings them there.
func (c *Client) Transfer(ctx context.Context, t Transfer) (Transferred, error) {
	return send[Transferred](ctx, c, call{
		admin: true, method: http.MethodPost, path: "/admin/v1/transfers", key: t.Key,
		body: struct {
			SKU      int64  `json:"sku_id,string"`
			FromSale uint32 `json:"from_sale_id,string,omitzero"`
			ToSale   uint32 `json:"to_sale_id,string,omitzero"`
			Quantity int64  `json:"quantity"`
			Reason   string `json:"reason"`
		}{t.SKU, t.FromSale, t.ToSale, t.Quantity, t.Reason},
	})
}

// ReservationFilter is which reservations to list. Zero values do not filter.
type ReservationFilter struct {
	User  int64
	SKU   int64 // in the sale that is named, else in normal stock
	Sale  uint32
	State State // needs one of the others
}

// ListReservations lists reservations, those of a user, of a SKU, of a sale, or all. For admins.
func (c *Client) ListReservations(ctx context.Context, f ReservationFilter, p Page) (List[Reservation], error) {
	q := p.query()
	set(q, "user_id", f.User)
	set(q, "sku_id", f.SKU)
	set(q, "sale_id", int64(f.Sale))
	if f.State != "" {
		q.Set("state", string(f.State))
	}
	return send[List[Reservation]](ctx, c, call{admin: true, method: http.MethodGet, path: "/admin/v1/reservations", query: q})
}
