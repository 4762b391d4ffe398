// Package sale runs sales: offers of some SKUs for a limited time, each with its own stock, limit and window. The id
// of a sale is the pool of its stock. MySQL has the plan of a sale and how far it is set up (tables sales and
// sale_items). The cells in Redis have everything that decides over requests. Every change of a cell has an id of its
// own, so any process can repeat each step until it is done.
package sale

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/core/stock"
	"sluice/core/text"
)

// Bounds of a plan.
const (
	NameMax  = 200    // bytes
	ItemsMax = 10_000 // SKUs of one sale
)

// Reasons why a step is not done.
var (
	ErrPlan       = errors.New("the plan is not in order")
	ErrNotFound   = errors.New("no such sale")
	ErrOtherPlan  = errors.New("the sale exists already, with another plan")
	ErrOtherCall  = errors.New("the key was used for another call")
	ErrShort      = errors.New("not enough stock")
	ErrNotLoaded  = errors.New("no such SKU")
	ErrNotFilled  = errors.New("the sale has not got all its stock: fill it first")
	ErrWindow     = errors.New("the window is not in order")
	ErrNotClosed  = errors.New("the sale is not closed")
	ErrOverlap    = errors.New("another process is at work on this sale: repeat the call")
	ErrStaleMove  = errors.New("a transfer was cut off too long ago to be resumed")
	ErrCellRefuse = errors.New("the cell refuses the change")
)

// Plan describes a sale before it exists.
type Plan struct {
	ID             uint32        // 1 or more; also the pool
	Name           string        // plain text, 1 to NameMax bytes
	Limit          int64         // units per user and SKU; 0: no limit
	Hold           time.Duration // until a reservation expires, in whole ms
	Ack            stock.Ack
	ShopperDeducts bool
	RegisteredOnly bool          // only registered users may take
	ExtendMax      time.Duration // how far a deadline may be moved beyond the first one, in whole ms; 0: not at all
	Items          []Allotment   // 1 to ItemsMax, each SKU once
}

// Allotment is the stock of one SKU that a sale gets.
type Allotment struct {
	SKU      int64
	Quantity int64
}

// Validate joins all faults of the plan; the error wraps ErrPlan.
func (p Plan) Validate() error {
	var faults []error
	fault := func(format string, values ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrPlan}, values...)...))
	}
	if p.ID == 0 {
		fault("sale id 0: want 1 to 4294967295")
	}
	if err := text.Check(p.Name, NameMax); err != nil {
		fault("name: %w", err)
	}
	if p.Limit < 0 || p.Limit > stock.QuantityMax {
		fault("limit %d: want 0 to %d", p.Limit, stock.QuantityMax)
	}
	if !stock.HoldFits(p.Hold) {
		fault("hold time %v: want 1ms to %v, in whole ms", p.Hold, stock.HoldMax)
	}
	if p.ExtendMax != 0 && !stock.HoldFits(p.ExtendMax) {
		fault("bound of extensions %v: want 0 to %v, in whole ms", p.ExtendMax, stock.HoldMax)
	}
	if p.Ack > stock.AckLog {
		fault("unknown acknowledge level %v", p.Ack)
	}
	if len(p.Items) == 0 || len(p.Items) > ItemsMax {
		fault("%d items: want 1 to %d", len(p.Items), ItemsMax)
	}
	seen := make(map[int64]bool, len(p.Items))
	for _, item := range p.Items {
		if item.SKU < 1 || item.Quantity < 1 || item.Quantity > stock.UnitsMax {
			fault("%d units of SKU %d: want 1 to %d of a positive id", item.Quantity, item.SKU, stock.UnitsMax)
		}
		if seen[item.SKU] {
			fault("SKU %d is there twice", item.SKU)
		}
		seen[item.SKU] = true
	}
	return errors.Join(faults...)
}

// Sale is the present state of a sale.
type Sale struct {
	Plan
	Window
	Filled   bool        // it has all its stock: none is missing yet, was taken back, or is under way
	Stock    []ItemStock // as Plan.Items
	NowMS    int64       // the Redis time of this state
	Replayed bool        // an earlier call had done this
	Changed  bool        // this call has changed something: the sale, its stock, or a cell that lacked the sale's window
}

// ItemStock is the stock of one SKU in a sale.
type ItemStock struct {
	Moved     int64 // units that it got, less those taken back
	Settled   bool  // it got its stock, and no transfer is under way
	WindowSet bool  // its cell has the sale's window
	Cell      stock.CellState
}

// Desk runs sales.
type Desk struct {
	store      stock.Store
	db         *sql.DB
	resumable  time.Duration
	rehearsing bool
	bring      func(ctx context.Context, sale uint32) error
}

// NewDesk makes a desk for a store and a database. Retention is how long the store remembers an adjustment. The desk does
// not resume a transfer that was cut off longer ago than half of that, because the store may have forgotten one of its
// halves and would repeat it.
func NewDesk(store stock.Store, db *sql.DB, retention time.Duration) *Desk {
	return &Desk{store: store, db: db, resumable: retention / 2}
}

// Bringing gives the desk a function that brings the registered users of a sale to Redis. The desk calls it after it
// has written a window into MySQL and before any cell has the window. Redis has forgotten the users of a sale that was
// closed for long.
func (d *Desk) Bringing(bring func(ctx context.Context, sale uint32) error) *Desk {
	d.bring = bring
	return d
}

// Rehearsal returns a desk that decides as this one does and changes nothing. Its calls return a sale as they would leave
// it.
func (d *Desk) Rehearsal() *Desk {
	other := *d
	other.rehearsing = true
	return &other
}

// Show returns the present state of a sale.
func (d *Desk) Show(ctx context.Context, id uint32) (Sale, error) {
	e, err := d.load(ctx, id)
	if err != nil {
		return Sale{}, err
	}
	return d.show(ctx, e)
}

func (d *Desk) show(ctx context.Context, e *entry) (Sale, error) {
	states, nowMS, err := d.cells(ctx, e.plan.ID, e.items)
	if err != nil {
		return Sale{}, err
	}
	return saleOf(e, states, nowMS), nil
}

func saleOf(e *entry, states []stock.CellState, nowMS int64) Sale {
	s := Sale{Plan: e.plan, Window: e.Window, Filled: e.filled(), NowMS: nowMS}
	for i, r := range e.items {
		s.Stock = append(s.Stock, ItemStock{
			Moved: r.moved, Settled: r.given() && r.moving == 0, WindowSet: windowOf(states[i]) == e.inCells(), Cell: states[i],
		})
	}
	return s
}
