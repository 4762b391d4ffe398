package stock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/text"
)

const (
	warehouseColumns = "warehouse_id, version, state, name, country, divisions, priority, parcel_cost, source, made_at"
	// A seller's people reach rows of their own seller only.
	selectWarehouses = "SELECT " + warehouseColumns + " FROM warehouses__ WHERE seller_id = ? ORDER BY warehouse_id LIMIT 100"
	selectWarehouse  = "SELECT " + warehouseColumns + " FROM warehouses__ WHERE seller_id = ? AND warehouse_id = ?"
	countWarehouses  = "SELECT COUNT(*) FROM warehouses__ WHERE seller_id = ? FOR UPDATE"
	insertWarehouse  = "INSERT INTO warehouses__ (warehouse_id, seller_id, state, name, country, divisions, priority, parcel_cost, source, made_at) " +
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	updateWarehouse = "UPDATE warehouses__ SET version = version + 1, state = ?, name = ?, country = ?, divisions = ?, priority = ?, parcel_cost = ? " +
		"WHERE warehouse_id = ? AND version = ?"
)

// WarehouseState is the state of a warehouse.
type WarehouseState string

// The states. What is in a closed one still counts, because it is there, but nothing paid is sent from it.
const (
	WarehouseOpen   WarehouseState = "open"
	WarehouseClosed WarehouseState = "closed"
)

// Warehouse is where a seller has goods.
type Warehouse struct {
	Address

	ID       ids.Warehouse  `json:"warehouse_id,omitzero"`
	Version  int64          `json:"version"`
	State    WarehouseState `json:"state"`
	Name     string         `json:"name"`
	Priority int            `json:"priority"`    // among those that are as near to a buyer: the lower comes first
	Cost     int64          `json:"parcel_cost"` // of a parcel, in minor units
	// Source is the system that counts the warehouse: nobody else may say what is in it. It stays, because another one has another
	// order of positions.
	Source string    `json:"source"`
	MadeAt time.Time `json:"made_at,omitzero"`
}

// check refuses what no warehouse is.
func (w *Warehouse) check() *problem.Problem {
	if err := text.Check(w.Name, nameBytesMax); err != nil {
		return malformed("/name", "%v", err)
	}
	switch {
	case w.State != WarehouseOpen && w.State != WarehouseClosed:
		return malformed("/state", "want open or closed")
	case !countryForm.MatchString(w.Country):
		return malformed("/country", "want a country such as DE")
	case len(w.Divisions) > divisionsMax:
		return malformed("/divisions", "want at most %d divisions", divisionsMax)
	case w.Priority < 0 || w.Priority > priorityMax:
		return malformed("/priority", "want 0 to %d", priorityMax)
	case w.Cost < 0 || w.Cost > costMax:
		return malformed("/parcel_cost", "want 0 to %d", costMax)
	case !sourceForm.MatchString(w.Source):
		return malformed("/source", "want a word such as erp-1, of at most 40 characters")
	}
	for i, division := range w.Divisions {
		if !divisionForm.MatchString(division) {
			return malformed(fmt.Sprint("/divisions/", i), "want a code such as PT-13")
		}
	}
	return nil
}

// Warehouses lists the warehouses of a seller, for its people and its systems.
func (s *Stock) Warehouses(ctx context.Context, by seller.Reader, of ids.Seller) ([]Warehouse, error) {
	if _, err := s.sellers.Admit(ctx, by, of); err != nil {
		return nil, err
	}
	return s.warehouses(ctx, of)
}

func (s *Stock) warehouses(ctx context.Context, of ids.Seller) (all []Warehouse, err error) {
	at := s.atSeller(of)
	err = db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
		w, err := scanWarehouse(row.Scan)
		all = append(all, w)
		return err
	}, selectWarehouses, of)
	if err != nil {
		return nil, readError(at, "warehouses", err)
	}
	return all, nil
}

// Warehouse shows a warehouse of a seller to its people and its systems.
func (s *Stock) Warehouse(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Warehouse) (Warehouse, error) {
	if _, err := s.sellers.Admit(ctx, by, of); err != nil {
		return Warehouse{}, err
	}
	return s.warehouse(ctx, of, id)
}

func (s *Stock) warehouse(ctx context.Context, of ids.Seller, id ids.Warehouse) (Warehouse, error) {
	at := s.atSeller(of)
	w, err := scanWarehouse(at.In(at.Writer()).QueryRowContext(ctx, selectWarehouse, of, id).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Warehouse{}, errUnknownWarehouse
	case err != nil:
		return Warehouse{}, readError(at, "warehouses", err)
	}
	return w, nil
}

func scanWarehouse(scan func(...any) error) (w Warehouse, err error) {
	var divisions []byte
	if err := scan(&w.ID, &w.Version, &w.State, &w.Name, &w.Country, &divisions, &w.Priority, &w.Cost, &w.Source, &w.MadeAt); err != nil {
		return Warehouse{}, err
	}
	return w, json.Unmarshal(divisions, &w.Divisions)
}

// MakeWarehouse makes a warehouse of a seller.
func (s *Stock) MakeWarehouse(ctx context.Context, by Caller, of ids.Seller, w Warehouse) (Warehouse, error) {
	if problem := w.check(); problem != nil {
		return Warehouse{}, problem
	}
	if err := s.works(ctx, by, of); err != nil {
		return Warehouse{}, err
	}
	asked := struct {
		Seller    ids.Seller
		Warehouse Warehouse
	}{of, w}
	return once(ctx, s, s.atSeller(of), by, "make_warehouse", asked, func(c *change) (Warehouse, error) {
		var n int
		if err := c.in.QueryRowContext(ctx, countWarehouses, of).Scan(&n); err != nil {
			return Warehouse{}, db.WriteError("count warehouses", err)
		}
		if n >= warehousesMax {
			return Warehouse{}, &problem.Problem{Kind: tooMany, Detail: fmt.Sprintf("a seller has at most %d warehouses", warehousesMax)}
		}
		divisions, err := json.Marshal(w.Divisions)
		if err != nil {
			return Warehouse{}, err
		}
		w.ID, w.Version, w.MadeAt = ids.Random[ids.Warehouse](), 1, time.Now().UTC().Truncate(time.Millisecond)
		_, err = c.put(ctx, "write warehouse", insertWarehouse, w.ID, of, w.State, w.Name, w.Country, divisions, w.Priority, w.Cost, w.Source, w.MadeAt)
		return w, err
	})
}

// ChangeWarehouse changes a warehouse of a seller, but for its source.
func (s *Stock) ChangeWarehouse(ctx context.Context, by Caller, of ids.Seller, from web.Version, to Warehouse) (Warehouse, error) {
	to.Source = SourceShop // which is not looked at
	if problem := to.check(); problem != nil {
		return Warehouse{}, problem
	}
	if err := s.works(ctx, by, of); err != nil {
		return Warehouse{}, err
	}
	asked := struct {
		Seller ids.Seller
		From   web.Version
		To     Warehouse
	}{of, from, to}
	return once(ctx, s, s.atSeller(of), by, "change_warehouse", asked, func(c *change) (Warehouse, error) {
		was, err := scanWarehouse(c.in.QueryRowContext(ctx, selectWarehouse+" FOR UPDATE", of, to.ID).Scan)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return Warehouse{}, errUnknownWarehouse
		case err != nil:
			return Warehouse{}, db.WriteError("lock warehouse", err)
		case was.Version != int64(from):
			return Warehouse{}, web.ErrChanged
		}
		divisions, err := json.Marshal(to.Divisions)
		if err != nil {
			return Warehouse{}, err
		}
		_, err = c.put(ctx, "change warehouse", updateWarehouse, to.State, to.Name, to.Country, divisions, to.Priority, to.Cost, to.ID, was.Version)
		to.Version, to.Source, to.MadeAt = was.Version+1, was.Source, was.MadeAt
		return to, err
	})
}
