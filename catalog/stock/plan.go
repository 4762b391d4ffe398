package stock

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

const (
	// supplied is what all that came in of a SKU is, whether it is there or was sold since. It is what the cell has in avail, held and
	// sold, because what leaves as sold stays in the cell as sold, and what comes back is told to the cell by the return.
	supplied   = "(SELECT COALESCE(SUM(on_hand + shipped - returned), 0) FROM stock_units__ AS u WHERE u.sku_id = s.sku_id)"
	skuColumns = "s.sku_id, s.seller_id, s.version, s.safe, s.reduces, s.low_at, s.ahead_kind, s.ahead_units, s.ahead_on, s.given, s.short, s.low, " + supplied
	// A seller's people reach rows of their own seller only.
	selectStock   = "SELECT " + skuColumns + " FROM stock_skus__ AS s WHERE s.sku_id = ? AND s.seller_id = ?"
	selectStocks  = "SELECT " + skuColumns + " FROM stock_skus__ AS s WHERE s.seller_id = ? AND s.sku_id > ? AND s.low >= ? ORDER BY s.sku_id LIMIT ?"
	selectPlans   = "SELECT " + skuColumns + " FROM stock_skus__ AS s WHERE s.ahead_kind <> 'none' AND s.sku_id IN "
	selectShelves = "SELECT warehouse_id, on_hand, shipped, returned FROM stock_units__ WHERE sku_id = ? ORDER BY warehouse_id"
	updatePlan    = "UPDATE stock_skus__ SET version = version + 1, safe = ?, reduces = ?, low_at = ?, low = low AND ? IS NOT NULL, " +
		"ahead_kind = ?, ahead_units = ?, ahead_on = ? WHERE sku_id = ? AND version = ?"
)

// AheadKind says whether units are sold before they are there.
type AheadKind string

// The kinds.
const (
	AheadNone      AheadKind = "none"
	AheadPreorder  AheadKind = "preorder"  // there were none yet
	AheadBackorder AheadKind = "backorder" // there will be some again
)

// Ahead are units that may be sold before they are there, with the day on which they are.
type Ahead struct {
	Kind  AheadKind `json:"kind"`
	Units int64     `json:"units"`
	On    string    `json:"on"` // a date
}

// Plan is what a seller wants of a SKU.
type Plan struct {
	Safe    int64  `json:"safe_stock"`
	Reduces bool   `json:"safe_reduces"`
	LowAt   *int64 `json:"low_at"` // so many free units are few; nil: nobody is told
	Ahead   Ahead  `json:"ahead"`
}

// check refuses what no plan is.
func (p *Plan) check() *problem.Problem {
	switch {
	case p.Safe < 0 || p.Safe > quantityMax:
		return malformed("/safe_stock", "want 0 to %d", quantityMax)
	case p.LowAt != nil && (*p.LowAt < 0 || *p.LowAt > quantityMax):
		return malformed("/low_at", "want 0 to %d", quantityMax)
	}
	switch p.Ahead.Kind {
	case AheadNone:
		return nil
	case AheadPreorder, AheadBackorder:
	default:
		return malformed("/ahead/kind", "want preorder or backorder")
	}
	if p.Ahead.Units < 1 || p.Ahead.Units > quantityMax {
		return malformed("/ahead/units", "want 1 to %d", quantityMax)
	}
	if _, err := time.Parse(time.DateOnly, p.Ahead.On); err != nil {
		return malformed("/ahead/on", "want a date such as 2026-12-24")
	}
	return nil
}

// SKUStock is what is kept of a SKU. Whether a unit is free, the edge says.
type SKUStock struct {
	Plan

	SKU      int64
	Seller   ids.Seller
	Version  int64 // of the plan
	Supplied int64 // what came in, whether it is there or was sold since
	Given    int64 // what its cell has got
	Short    int64 // units that the cell has too many, because they are held or sold
	Low      bool
	Shelves  []InWarehouse
}

// target is what the cell has to have got.
func (s *SKUStock) target() int64 { return plan{s.Safe, s.Reduces, s.Ahead.Units}.target(s.Supplied) }

// InWarehouse is what is in a warehouse of a SKU.
type InWarehouse struct {
	ID ids.Warehouse
	units
}

func scanStock(scan func(...any) error) (s SKUStock, err error) {
	var on sql.NullTime
	err = scan(&s.SKU, &s.Seller, &s.Version, &s.Safe, &s.Reduces, &s.LowAt, &s.Ahead.Kind, &s.Ahead.Units, &on, &s.Given, &s.Short, &s.Low, &s.Supplied)
	if on.Valid {
		s.Ahead.On = on.Time.Format(time.DateOnly)
	}
	return s, err
}

// noStock is what is kept of a SKU of which nobody has said anything.
func noStock(of ids.Seller, sku int64) SKUStock {
	return SKUStock{Plan: Plan{Ahead: Ahead{Kind: AheadNone}}, SKU: sku, Seller: of, Version: 1}
}

// Show shows what is kept of a SKU to the people and the systems of its seller.
func (s *Stock) Show(ctx context.Context, by seller.Reader, of ids.Seller, sku int64) (SKUStock, error) {
	if _, err := s.sellers.Admit(ctx, by, of); err != nil {
		return SKUStock{}, err
	}
	at, err := s.ownSKU(ctx, of, sku)
	if err != nil {
		return SKUStock{}, err
	}
	return readStock(ctx, at, at.In(at.Writer()), of, sku)
}

// ownSKU is where a SKU of a seller is.
func (s *Stock) ownSKU(ctx context.Context, of ids.Seller, sku int64) (place.Place, error) {
	at, ok := s.atSKU(sku)
	if !ok {
		return place.Place{}, errUnknownSKU
	}
	foreign, err := s.products.Foreign(ctx, of, []int64{sku})
	if err == nil && foreign != 0 {
		err = errUnknownSKU
	}
	return at, err
}

func readStock(ctx context.Context, at place.Place, in place.Conn, of ids.Seller, sku int64) (SKUStock, error) {
	is, err := scanStock(in.QueryRowContext(ctx, selectStock, sku, of).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return noStock(of, sku), nil
	case err != nil:
		return SKUStock{}, readError(at, "stock_skus", err)
	}
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var w InWarehouse
		err := row.Scan(&w.ID, &w.OnHand, &w.Shipped, &w.Returned)
		is.Shelves = append(is.Shelves, w)
		return err
	}, selectShelves, sku)
	if err != nil {
		return SKUStock{}, readError(at, "stock_units", err)
	}
	return is, nil
}

// List lists what is kept of the SKUs of a seller behind one, by their ids, without their warehouses: of all, or of those of which few
// units are free. They are in any place, so that all places are asked. More says that there are others behind them.
func (s *Stock) List(ctx context.Context, by seller.Reader, of ids.Seller, low bool, after int64, limit int) (page []SKUStock, more bool, err error) {
	if _, err := s.sellers.Admit(ctx, by, of); err != nil {
		return nil, false, err
	}
	for _, at := range s.databases.All(shard.Products) {
		err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
			one, err := scanStock(row.Scan)
			page = append(page, one)
			return err
		}, selectStocks, of, after, low, limit+1)
		if err != nil {
			return nil, false, readError(at, "stock_skus", err)
		}
	}
	slices.SortFunc(page, func(a, b SKUStock) int { return cmp.Compare(a.SKU, b.SKU) })
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// SetPlan says what a seller wants of a SKU.
func (s *Stock) SetPlan(ctx context.Context, by Caller, of ids.Seller, sku int64, from web.Version, to Plan) (SKUStock, error) {
	if problem := to.check(); problem != nil {
		return SKUStock{}, problem
	}
	if err := s.works(ctx, by, of); err != nil {
		return SKUStock{}, err
	}
	at, err := s.ownSKU(ctx, of, sku)
	if err != nil {
		return SKUStock{}, err
	}
	asked := struct {
		Seller ids.Seller
		SKU    int64
		From   web.Version
		To     Plan
	}{of, sku, from, to}
	version, err := once(ctx, s, at, by, "set_plan", asked, func(c *change) (int64, error) {
		if err := c.lock(ctx, of, []int64{sku}); err != nil {
			return 0, err
		}
		var on any
		if to.Ahead.Kind != AheadNone {
			on = to.Ahead.On
		}
		n, err := c.put(ctx, "set plan", updatePlan, to.Safe, to.Reduces, to.LowAt, to.LowAt, to.Ahead.Kind, to.Ahead.Units, on, sku, from)
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, web.ErrChanged
		}
		return int64(from) + 1, c.supply(ctx, []int64{sku})
	})
	if err != nil {
		return SKUStock{}, err
	}
	is, err := readStock(ctx, at, at.In(at.Writer()), of, sku)
	if is.Version == version || err != nil {
		return is, err
	}
	is.Plan, is.Version = to, version // a repetition, of what has changed since
	return is, nil
}

// Plans are the plans of SKUs that are sold ahead, of a list of SKUs of one product.
func (s *Stock) plans(ctx context.Context, skus []int64) (map[int64]Plan, error) {
	all := map[int64]Plan{}
	if len(skus) == 0 {
		return all, nil
	}
	at, _ := s.atSKU(skus[0])
	err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
		one, err := scanStock(row.Scan)
		all[one.SKU] = one.Plan
		return err
	}, selectPlans+marks(len(skus)), values(nil, skus)...)
	if err != nil {
		return nil, readError(at, "stock_skus", err)
	}
	return all, nil
}

// Hint is what a product page has of a SKU beside what the edge says.
type Hint struct {
	SKU   int64
	Ahead Ahead
}

// Hints are those of the SKUs of a product that shoppers see.
func (s *Stock) Hints(ctx context.Context, id ids.Product) ([]Hint, error) {
	skus, err := s.products.ShownSKUs(ctx, id)
	if err != nil {
		return nil, err
	}
	plans, err := s.plans(ctx, skus)
	if err != nil {
		return nil, err
	}
	all := make([]Hint, len(skus))
	for i, sku := range skus {
		all[i] = Hint{sku, plans[sku].Ahead}
	}
	return all, nil
}
