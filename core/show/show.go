// Package show has the JSON of cells and sales. The command line and the HTTP API both write it. A member is left out
// if there is no such bound: no limit, no opening, no closing. Ids are strings of digits. Moments are RFC 3339 in
// UTC.
package show

import (
	"strconv"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// Moment is a Redis time in ms. Zero means none, and leaves the member out.
type Moment int64

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (m Moment) MarshalText() ([]byte, error) {
	return time.UnixMilli(int64(m)).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(text []byte) error {
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err == nil {
		*m = Moment(at.UnixMilli())
	}
	return err
}

// opening returns the moment of an opening, which may not be scheduled.
func opening(ms int64) Moment {
	if ms == sale.NotScheduled {
		return 0
	}
	return Moment(ms)
}

// ID is a SKU, user or sale, written as a string of digits. Zero means none.
type ID int64

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (id ID) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(id), 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	*id = ID(n)
	return err
}

// Cell is the stock of a SKU, normal or of a sale.
type Cell struct {
	SKU            ID     `json:"sku_id"`
	Sale           ID     `json:"sale_id,omitzero"`
	Total          int64  `json:"total"`
	Avail          int64  `json:"avail"`
	Held           int64  `json:"held"`
	Sold           int64  `json:"sold"`
	Limit          int64  `json:"limit,omitzero"`
	HoldMS         int64  `json:"hold_ms"`
	ExtendMaxMS    int64  `json:"extend_max_ms,omitzero"`
	OpensAt        Moment `json:"opens_at,omitzero"`
	ClosesAt       Moment `json:"closes_at,omitzero"`
	Ack            string `json:"ack"`
	ShopperDeducts bool   `json:"shopper_deducts"`
	RegisteredOnly bool   `json:"registered_only,omitzero"`
	Planned        bool   `json:"planned"` // in a sale that nobody has opened yet
	Frozen         bool   `json:"frozen"`
	Fenced         bool   `json:"fenced"`
	Breached       bool   `json:"breached"`
	Epoch          uint32 `json:"epoch"`
	Seq            uint64 `json:"seq"`
}

// ChangedCell is a cell after a call that was to change it.
type ChangedCell struct {
	Cell

	Changed bool `json:"changed"` // the call has changed something
}

// CellOf returns a cell as Redis has it.
func CellOf(c *stock.CellState) Cell {
	return Cell{
		SKU: ID(c.Cell.SKU), Sale: ID(c.Cell.Pool),
		Total: c.Total, Avail: c.Avail, Held: c.Held, Sold: c.Sold,
		Limit: c.Limit, HoldMS: c.Hold.Milliseconds(), ExtendMaxMS: c.ExtendMax.Milliseconds(), OpensAt: opening(c.OpensAtMS), ClosesAt: Moment(c.ClosesAtMS),
		Ack: c.Ack.String(), ShopperDeducts: c.ShopperDeducts, RegisteredOnly: c.RegisteredOnly,
		Planned: c.OpensAtMS == sale.NotScheduled, Frozen: c.Frozen, Fenced: c.Fenced, Breached: c.Breached,
		Epoch: c.Epoch, Seq: c.Seq,
	}
}

// Sale is a sale as it stands.
type Sale struct {
	ID             ID         `json:"sale_id"`
	Name           string     `json:"name"`
	Phase          sale.Phase `json:"phase"`
	Limit          int64      `json:"limit,omitzero"`
	HoldMS         int64      `json:"hold_ms"`
	Ack            string     `json:"ack"`
	ShopperDeducts bool       `json:"shopper_deducts"`
	RegisteredOnly bool       `json:"registered_only"`
	ExtendMaxMS    int64      `json:"extend_max_ms,omitzero"`
	OpensAt        Moment     `json:"opens_at,omitzero"`
	ClosesAt       Moment     `json:"closes_at,omitzero"`
	Filled         bool       `json:"filled"` // it has all its stock
	Items          []Item     `json:"items"`
}

// ChangedSale is a sale after a call that was to change it.
type ChangedSale struct {
	Sale

	Changed bool `json:"changed"` // the call has changed something
}

// Item is a SKU of a sale. It has no units until it gets some.
type Item struct {
	SKU       ID    `json:"sku_id"`
	Quantity  int64 `json:"quantity"` // units that the plan gives it
	Moved     int64 `json:"moved"`    // units that it got, less those taken back
	Avail     int64 `json:"avail"`
	Held      int64 `json:"held"`
	Sold      int64 `json:"sold"`
	Settled   bool  `json:"settled"`    // it has all its units, and none is under way
	WindowSet bool  `json:"window_set"` // its cell has the sale's window
	Frozen    bool  `json:"frozen"`
	Fenced    bool  `json:"fenced"`
	Breached  bool  `json:"breached"`
}

// SaleOf returns a sale with its stock as Redis has it.
func SaleOf(s *sale.Sale) Sale {
	v := Sale{
		ID: ID(s.ID), Name: s.Name, Phase: s.Phase(s.NowMS), Limit: s.Limit, HoldMS: s.Hold.Milliseconds(),
		Ack: s.Ack.String(), ShopperDeducts: s.ShopperDeducts, RegisteredOnly: s.RegisteredOnly, ExtendMaxMS: s.ExtendMax.Milliseconds(),
		OpensAt: opening(s.OpensAtMS), ClosesAt: Moment(s.ClosesAtMS), Filled: s.Filled,
		Items: make([]Item, len(s.Items)),
	}
	for i, item := range s.Items {
		now := &s.Stock[i]
		c := &now.Cell
		v.Items[i] = Item{
			SKU: ID(item.SKU), Quantity: item.Quantity, Moved: now.Moved,
			Avail: c.Avail, Held: c.Held, Sold: c.Sold, Settled: now.Settled, WindowSet: now.WindowSet,
			Frozen: c.Frozen, Fenced: c.Fenced, Breached: c.Breached,
		}
	}
	return v
}
