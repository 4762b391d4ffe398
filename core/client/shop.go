package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// State is the state of a reservation.
type State string

// The states.
const (
	StateHeld      State = "held"
	StateConfirmed State = "confirmed"
	StateReleased  State = "released"
	StateExpired   State = "expired"
	StateRevoked   State = "revoked"  // a declared loss took the hold away
	StateReturned  State = "returned" // the record of a return, which is not a reservation
)

// Take says what to reserve or deduct.
type Take struct {
	SKU      int64
	Quantity int64
	Sale     uint32 // 0: from the SKU's normal stock
	User     int64  // the user for whom a service acts; 0 for a shopper, who acts for itself
	Key      string // Idempotency-Key; "": the client makes one. It belongs to its user, SKU and sale
}

// Reservation has units that are, or were, held for a user. A deduction is a reservation that is confirmed at once.
type Reservation struct {
	ID         string    `json:"reservation_id"`
	SKU        int64     `json:"sku_id,string"`
	Quantity   int64     `json:"quantity"`
	Sale       uint32    `json:"sale_id,string,omitzero"` // 0: of the SKU's normal stock
	User       int64     `json:"user_id,string,omitzero"` // for services and admins only
	State      State     `json:"state"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`  // when it expires, or would have; a deduction has none
	ReservedMS int64     `json:"reserved_ms,omitzero"` // in lists: when it was made, in ms since 1970 by Redis' clock
	Receipt    `json:"-"`
}

func (r *Reservation) complete() bool { return r.ID != "" && r.SKU != 0 && r.State != "" }

// Stock says how many units of a SKU are free.
type Stock struct {
	SKU   int64     `json:"sku_id,string"`
	Avail int64     `json:"avail"` // 0 while selling is stopped
	Sale  uint32    `json:"sale_id,string,omitzero"`
	AsOf  time.Time `json:"as_of"`
}

func (s *Stock) complete() bool { return s.SKU != 0 }

// Page says which part of a list to read.
type Page struct {
	Limit  int    // how many at most, up to 500; 0: as many as the edge gives, 50
	Cursor string // the NextCursor of the page before; "": the first page
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	return q
}

// List is a page of a list from MySQL. It may be short or empty although another page follows.
type List[T any] struct {
	Data       []T       `json:"data"`
	NextCursor string    `json:"next_cursor,omitzero"` // "": there is no further page
	AsOf       time.Time `json:"as_of,omitzero"`       // the list has everything up to then; zero: nobody knows
}

func (l *List[T]) complete() bool { return l.Data != nil }

// Reserve holds units for a user.
func (c *Client) Reserve(ctx context.Context, t Take) (Reservation, error) {
	return c.take(ctx, "/v1/reservations", t)
}

// Deduct reserves and confirms in one step. Shoppers may do so in a sale that allows it.
func (c *Client) Deduct(ctx context.Context, t Take) (Reservation, error) {
	return c.take(ctx, "/v1/deductions", t)
}

func (c *Client) take(ctx context.Context, path string, t Take) (Reservation, error) {
	return send[Reservation](ctx, c, call{method: http.MethodPost, path: path, key: t.Key, body: struct {
		SKU      int64  `json:"sku_id,string"`
		Quantity int64  `json:"quantity"`
		Sale     uint32 `json:"sale_id,string,omitzero"`
		User     int64  `json:"user_id,string,omitzero"`
	}{t.SKU, t.Quantity, t.Sale, t.User}})
}

// Reservation shows a reservation to its shopper or to a service.
func (c *Client) Reservation(ctx context.Context, id string) (Reservation, error) {
	return c.reservation(ctx, id, call{method: http.MethodGet})
}

// Confirm makes a held reservation sold. It is for services. Only the state decides what a repetition means: if the
// reservation is already confirmed, Confirm succeeds under any key.
func (c *Client) Confirm(ctx context.Context, id string) (Reservation, error) {
	return c.reservation(ctx, id, call{method: http.MethodPost, path: "/confirm"})
}

// Release gives the units of a held reservation back. It is for its shopper and for services. If the reservation is
// already released, Release succeeds.
func (c *Client) Release(ctx context.Context, id string) (Reservation, error) {
	return c.reservation(ctx, id, call{method: http.MethodPost, path: "/release"})
}

// Extend moves the deadline of a held reservation later, at most by the bound of its SKU. It is for services. The
// answer has the deadline.
func (c *Client) Extend(ctx context.Context, id string, until time.Time) (Reservation, error) {
	return c.reservation(ctx, id, call{method: http.MethodPost, path: "/extend", body: extension{ExpiresAt: until.UTC()}})
}

type extension struct {
	IDs       []string  `json:"reservation_ids,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Settled says what became of one reservation of a list.
type Settled struct {
	ID          string       `json:"reservation_id"`
	Reservation *Reservation `json:"reservation,omitzero"` // nil if there is a problem
	Problem     *Problem     `json:"problem,omitzero"`     // nil if the reservation is in the state that was asked for
}

// ConfirmAll confirms up to 50 reservations, each by itself. It is for services. The answers are in the order of the
// reservations.
func (c *Client) ConfirmAll(ctx context.Context, ids []string) ([]Settled, error) {
	return c.settleAll(ctx, "/confirm", extension{IDs: ids})
}

// ReleaseAll releases up to 50 reservations, each by itself. It is for their shopper and for services.
func (c *Client) ReleaseAll(ctx context.Context, ids []string) ([]Settled, error) {
	return c.settleAll(ctx, "/release", extension{IDs: ids})
}

// ExtendAll moves the deadlines of up to 50 reservations, each by itself. It is for services.
func (c *Client) ExtendAll(ctx context.Context, ids []string, until time.Time) ([]Settled, error) {
	return c.settleAll(ctx, "/extend", extension{IDs: ids, ExpiresAt: until.UTC()})
}

func (c *Client) settleAll(ctx context.Context, path string, body extension) ([]Settled, error) {
	got, err := send[List[Settled]](ctx, c, call{method: http.MethodPost, path: "/v1/reservations" + path, body: body})
	return got.Data, err
}

// Return says what came back.
type Return struct {
	SKU      int64
	Quantity int64
	Sale     uint32 // whose stock it was sold from; 0: the SKU's normal stock
	User     int64  // who gives it back
	Reason   string // the ledger keeps it
	Key      string // Idempotency-Key, of the refund or the case; "": the client makes one
	// Asked is when the shop first sent this return with this key; zero: it sends it now.
	Asked time.Time
}

// Return makes sold units free again. It is for services. The reservation of the units may be long forgotten, so the
// answer has an id of its own.
//
// If the return was asked for longer ago than half the retention, edges may have forgotten its key, and the units could
// come back twice. So an edge looks such a return up and makes nothing free. Its units are back, or the problem is
// CodeUnknownReservation: it never arrived, and may be sent with a new key and without Asked.
func (c *Client) Return(ctx context.Context, r Return) (Reservation, error) {
	return send[Reservation](ctx, c, call{method: http.MethodPost, path: "/v1/returns", key: r.Key, body: struct {
		SKU      int64  `json:"sku_id,string"`
		Quantity int64  `json:"quantity"`
		Sale     uint32 `json:"sale_id,string,omitzero"`
		User     int64  `json:"user_id,string"`
		Reason   string `json:"reason"`

		Asked time.Time `json:"asked_at,omitzero"`
	}{r.SKU, r.Quantity, r.Sale, r.User, r.Reason, r.Asked.UTC()}})
}

// ShowReturn looks up a return by its id, also one that is older than the retention. It is for services.
func (c *Client) ShowReturn(ctx context.Context, id string) (Reservation, error) {
	return c.about(ctx, "/v1/returns/", id, call{method: http.MethodGet})
}

func (c *Client) reservation(ctx context.Context, id string, q call) (Reservation, error) {
	return c.about(ctx, "/v1/reservations/", id, q)
}

// about makes a call about one reservation. It refuses an impossible id as unknown, because such an id must not become
// part of a path.
func (c *Client) about(ctx context.Context, under, id string, q call) (Reservation, error) {
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return Reservation{}, &Problem{
			Code: CodeUnknownReservation, Status: http.StatusNotFound, Title: "There is no such reservation.",
			Detail: fmt.Sprintf("%q is no id of one", id),
		}
	}
	q.path = under + id + q.path
	return send[Reservation](ctx, c, q)
}

// ListHeld lists what is held in a sale. For services.
func (c *Client) ListHeld(ctx context.Context, sale uint32, p Page) (List[Reservation], error) {
	q := p.query()
	q.Set("sale_id", saleText(sale))
	return send[List[Reservation]](ctx, c, call{method: http.MethodGet, path: "/v1/reservations", query: q})
}

// Stock shows how many units of a SKU are free, in its normal stock or in a sale. The answer is at most a second old.
func (c *Client) Stock(ctx context.Context, sku int64, sale uint32) (Stock, error) {
	return send[Stock](ctx, c, call{method: http.MethodGet, path: "/v1/stock/" + strconv.FormatInt(sku, 10), query: inSale(sale)})
}

// Stocks shows how many units are free of up to 100 SKUs, in the order asked for. It leaves out SKUs that are not
// loaded.
func (c *Client) Stocks(ctx context.Context, skus []int64, sale uint32) ([]Stock, error) {
	ids := make([]string, len(skus))
	for i, sku := range skus {
		ids[i] = strconv.FormatInt(sku, 10)
	}
	q := inSale(sale)
	q.Set("sku_ids", strings.Join(ids, ","))
	got, err := send[List[Stock]](ctx, c, call{method: http.MethodGet, path: "/v1/stock", query: q})
	return got.Data, err
}

func saleText(sale uint32) string { return strconv.FormatUint(uint64(sale), 10) }

// inSale is the query that names a sale, if there is one.
func inSale(sale uint32) url.Values {
	q := url.Values{}
	if sale != 0 {
		q.Set("sale_id", saleText(sale))
	}
	return q
}
