package client

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Phase is where a sale stands.
type Phase string

// The phases.
const (
	PhasePlanned   Phase = "planned"
	PhaseScheduled Phase = "scheduled"
	PhaseOpen      Phase = "open"
	PhaseClosed    Phase = "closed"
)

// Sale is a sale with its stock as Redis has it.
type Sale struct {
	ID             uint32     `json:"sale_id,string"`
	Name           string     `json:"name"`
	Phase          Phase      `json:"phase"`
	Limit          int64      `json:"limit,omitzero"` // units per user and SKU; 0: no limit
	HoldMS         int64      `json:"hold_ms"`
	Ack            Ack        `json:"ack"`
	ShopperDeducts bool       `json:"shopper_deducts"`
	RegisteredOnly bool       `json:"registered_only"`
	ExtendMaxMS    int64      `json:"extend_max_ms,omitzero"` // how far a deadline may be moved; 0: not at all
	OpensAt        time.Time  `json:"opens_at,omitzero"`      // zero where nobody has set it
	ClosesAt       time.Time  `json:"closes_at,omitzero"`     // zero where it never closes
	Filled         bool       `json:"filled"`                 // it has all its stock; one that has not cannot be opened
	Items          []SaleItem `json:"items"`
	Changed        bool       `json:"changed,omitzero"` // this call changed it, or this attempt of it; always false for calls that read
	Receipt        `json:"-"`
}

func (s *Sale) complete() bool { return s.ID != 0 && s.Phase != "" }

// SaleItem is a SKU of a sale.
type SaleItem struct {
	SKU       int64 `json:"sku_id,string"`
	Quantity  int64 `json:"quantity"` // units that the plan gives it
	Moved     int64 `json:"moved"`    // units that it got, less those taken back
	Avail     int64 `json:"avail"`
	Held      int64 `json:"held"`
	Sold      int64 `json:"sold"`
	Settled   bool  `json:"settled"`    // it has all its units, and none is under way
	WindowSet bool  `json:"window_set"` // it opens and closes when the sale does
	Frozen    bool  `json:"frozen"`
	Fenced    bool  `json:"fenced"`
	Breached  bool  `json:"breached"`
}

// Plan describes a sale to make.
type Plan struct {
	Sale           uint32
	Name           string
	Items          []Allotment // each SKU once
	Limit          *int64      // units per user and SKU; nil, 0: no limit
	Hold           *time.Duration
	Ack            Ack
	ShopperDeducts *bool
	RegisteredOnly *bool          // only registered users may take: see Register
	ExtendMax      *time.Duration // how far a deadline may be moved beyond the first one, in whole ms; nil, 0: not at all
}

// Allotment is the units of a SKU that a sale gets of its normal stock.
type Allotment struct {
	SKU      int64 `json:"sku_id,string"`
	Quantity int64 `json:"quantity"`
}

// CreateSale makes a sale and gives it its stock. The plan decides what a repetition means, and no key does. The same
// plan goes on where it was cut off. Another plan for the same sale is refused as CodeMismatch.
func (c *Client) CreateSale(ctx context.Context, p Plan) (Sale, error) {
	return send[Sale](ctx, c, call{admin: true, method: http.MethodPut, path: salePath(p.Sale), body: struct {
		Name           string      `json:"name"`
		Items          []Allotment `json:"items"`
		Limit          *int64      `json:"limit,omitzero"`
		HoldMS         *int64      `json:"hold_ms,omitzero"`
		Ack            Ack         `json:"ack,omitzero"`
		ShopperDeducts *bool       `json:"shopper_deducts,omitzero"`
		RegisteredOnly *bool       `json:"registered_only,omitzero"`
		ExtendMaxMS    *int64      `json:"extend_max_ms,omitzero"`
	}{p.Name, p.Items, p.Limit, wholeMS(p.Hold), p.Ack, p.ShopperDeducts, p.RegisteredOnly, wholeMS(p.ExtendMax)}})
}

// Registered is the result of a registration.
type Registered struct {
	Sale       uint32 `json:"sale_id,string"`
	Added      int64  `json:"added"`      // users who were not registered before
	Registered int64  `json:"registered"` // users who are registered for the sale
	Receipt    `json:"-"`
}

func (r *Registered) complete() bool { return r.Sale != 0 }

// RegisterUsers registers users, up to 10,000, for a sale that is for registered users only. For admins and services. It can be
// repeated. When it returns, every edge lets them take.
func (c *Client) RegisterUsers(ctx context.Context, sale uint32, users []int64) (Registered, error) {
	ids := make([]string, len(users))
	for i, user := range users {
		ids[i] = strconv.FormatInt(user, 10)
	}
	return send[Registered](ctx, c, call{admin: true, method: http.MethodPost, path: salePath(sale) + "/registrations", body: struct {
		Users []string `json:"user_ids"`
	}{ids}})
}

// ShowSale shows a sale.
func (c *Client) ShowSale(ctx context.Context, sale uint32) (Sale, error) {
	return send[Sale](ctx, c, call{admin: true, method: http.MethodGet, path: salePath(sale)})
}

// Opening is when a sale sells.
type Opening struct {
	Sale     uint32
	OpensAt  *time.Time // nil: as soon as it may
	ClosesAt *time.Time // nil: it keeps the closing that it has; the zero time takes that away
	Key      string     // Idempotency-Key; "": the client makes one
}

// OpenSale sets when a sale sells.
func (c *Client) OpenSale(ctx context.Context, o Opening) (Sale, error) {
	return c.moveSale(ctx, o.Sale, "/open", o.Key, window{bound(o.OpensAt), bound(o.ClosesAt)})
}

// Closing is when a sale ends.
type Closing struct {
	Sale     uint32
	ClosesAt *time.Time // nil: now; the zero time takes the closing away
	Key      string     // Idempotency-Key; "": the client makes one
}

// CloseSale ends a sale. Held units stay held and can be confirmed.
func (c *Client) CloseSale(ctx context.Context, cl Closing) (Sale, error) {
	return c.moveSale(ctx, cl.Sale, "/close", cl.Key, window{ClosesAt: bound(cl.ClosesAt)})
}

type window struct {
	OpensAt  *string `json:"opens_at,omitzero"`
	ClosesAt *string `json:"closes_at,omitzero"`
}

// FillSale gives a sale the stock that it lacks. If the key is empty, the client makes one.
func (c *Client) FillSale(ctx context.Context, sale uint32, key string) (Sale, error) {
	return c.moveSale(ctx, sale, "/fill", key, nil)
}

// EmptySale moves the unsold stock of a closed sale back to normal stock. If the key is empty, the client makes one.
func (c *Client) EmptySale(ctx context.Context, sale uint32, key string) (Sale, error) {
	return c.moveSale(ctx, sale, "/empty", key, nil)
}

func (c *Client) moveSale(ctx context.Context, sale uint32, move, key string, body any) (Sale, error) {
	return send[Sale](ctx, c, call{admin: true, method: http.MethodPost, path: salePath(sale) + move, key: key, body: body})
}

func salePath(sale uint32) string { return "/admin/v1/sales/" + saleText(sale) }

// SaleRow is a sale without its stock, as MySQL has it.
type SaleRow struct {
	ID             uint32    `json:"sale_id,string"`
	Name           string    `json:"name"`
	Phase          Phase     `json:"phase"`
	OpensAt        time.Time `json:"opens_at,omitzero"`
	ClosesAt       time.Time `json:"closes_at,omitzero"`
	Limit          int64     `json:"limit,omitzero"`
	HoldMS         int64     `json:"hold_ms"`
	Ack            Ack       `json:"ack"`
	ShopperDeducts bool      `json:"shopper_deducts"`
	RegisteredOnly bool      `json:"registered_only"`
	ExtendMaxMS    int64     `json:"extend_max_ms,omitzero"`
	CreatedAt      time.Time `json:"created_at"`
}

// ListSales lists sales by id, those of a phase, or all.
func (c *Client) ListSales(ctx context.Context, phase Phase, p Page) (List[SaleRow], error) {
	q := p.query()
	if phase != "" {
		q.Set("phase", string(phase))
	}
	return send[List[SaleRow]](ctx, c, call{admin: true, method: http.MethodGet, path: "/admin/v1/sales", query: q})
}
