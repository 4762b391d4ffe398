package stock

import (
	"strconv"

	"sluice/catalog/stock/internal/api"
)

// shownWarehouse is a warehouse as the API shows it.
func shownWarehouse(w *Warehouse) api.Warehouse {
	return api.Warehouse{
		WarehouseID: w.ID, Version: int(w.Version), State: api.WarehouseState(w.State), Name: w.Name, Country: w.Country,
		Divisions: append([]string{}, w.Divisions...), Priority: w.Priority, ParcelCost: int(w.Cost), Source: w.Source, MadeAt: w.MadeAt.UTC(),
	}
}

// shownDocument is a document as the API shows it.
func shownDocument(d *Document) api.StockDocument {
	of := api.StockDocument{DocumentID: d.ID, Source: d.Source, WarehouseID: d.Warehouse, Position: d.Position, Applied: d.Applied, At: d.At.UTC()}
	of.Lines = make([]api.StockDocumentLine, len(d.Lines))
	for i, line := range d.Lines {
		to := &of.Lines[i]
		to.SkuID, to.Kind, to.Quantity = strconv.FormatInt(line.SKU, 10), api.MoveKind(line.Kind), line.Quantity
		if line.Known != nil {
			difference := line.Quantity - *line.Known - line.Late
			to.Known, to.Late, to.Difference = line.Known, &line.Late, &difference
		}
	}
	return of
}

// shownStock is what is kept of a SKU as the API shows it.
func shownStock(s *SKUStock) api.StockOfSKU {
	of := api.StockOfSKU{
		SkuID: strconv.FormatInt(s.SKU, 10), Version: int(s.Version), SafeStock: s.Safe, SafeReduces: s.Reduces, LowAt: s.LowAt, Ahead: shownAhead(s.Ahead),
		Supplied: s.Supplied, Target: s.target(), Given: s.Given, Short: s.Short, Low: s.Low,
	}
	all := make([]api.StockInWarehouse, len(s.Shelves))
	for i, w := range s.Shelves {
		all[i] = api.StockInWarehouse{WarehouseID: w.ID, OnHand: w.OnHand, Shipped: w.Shipped, Returned: w.Returned}
	}
	of.Warehouses = &all
	return of
}

// shownAhead is what is sold ahead, or nil.
func shownAhead(a Ahead) *api.StockAhead {
	if a.Kind == AheadNone || a.Kind == "" {
		return nil
	}
	return &api.StockAhead{Kind: api.StockAheadKind(a.Kind), Units: int(a.Units), On: a.On}
}
