package stock

import (
	"context"
	"strconv"
	"strings"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/catalog/stock/internal/api"
	"sluice/core/ids"
)

var (
	people  = web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner)
	systems = people | web.RolesOf(web.RoleSellerKey)
)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListWarehouses":    {Roles: systems, KeyScope: seller.ScopeStockRead, On: "its own seller", Live: true},
	"ShowWarehouse":     {Roles: systems, KeyScope: seller.ScopeStockRead, On: "its own seller", Live: true},
	"MakeWarehouse":     {Roles: people, On: "its own seller"},
	"ChangeWarehouse":   {Roles: people, On: "its own seller"},
	"ShowStockDocument": {Roles: systems, KeyScope: seller.ScopeStockRead, On: "its own seller", Live: true},
	"PutStockDocument":  {Roles: systems, KeyScope: seller.ScopeStockWrite, KeyWrites: true, On: "its own seller"},
	"ListStock":         {Roles: systems, KeyScope: seller.ScopeStockRead, On: "its own seller", Live: true},
	"ShowStock":         {Roles: systems, KeyScope: seller.ScopeStockRead, On: "its own seller", Live: true},
	"SetStockPlan":      {Roles: people, On: "its own seller"},
	"ShowStockHints":    {Roles: web.Anybody, On: "any product that is listed"},
}

// Routes are the operations of stock.
func (s *Stock) Routes() []web.Route { return api.Routes(server{s}) }

// server answers requests.
type server struct{ *Stock }

var _ api.StrictServerInterface = server{}

// pageLimit is how many SKUs a page has if nobody says.
const pageLimit = 50

// reader is who reads something of a seller.
func reader(ctx context.Context) seller.Reader {
	return seller.Reader{User: ids.User(web.Who(ctx).Subject), Key: ids.Seller(web.Tenant(ctx))}
}

// caller is who asks for a write.
func caller(ctx context.Context, key string) Caller {
	return Caller{Author: audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}, Reader: reader(ctx), Idempotency: key}
}

// skuOf reads the id of a SKU, which the pointer leads to.
func skuOf(text, pointer string) (int64, error) {
	id, ok := ids.Parse(text)
	if !ok {
		return 0, malformed(pointer, "want the id of a SKU: an integer from 1 to 9223372036854775807")
	}
	return id, nil
}

// ListWarehouses implements api.StrictServerInterface.
func (s server) ListWarehouses(ctx context.Context, r api.ListWarehousesRequestObject) (api.ListWarehousesResponseObject, error) {
	all, err := s.Warehouses(ctx, reader(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	list := api.ListWarehouses200JSONResponse{Data: []api.Warehouse{}}
	for i := range all {
		list.Data = append(list.Data, shownWarehouse(&all[i]))
	}
	return list, nil
}

// ShowWarehouse implements api.StrictServerInterface.
func (s server) ShowWarehouse(ctx context.Context, r api.ShowWarehouseRequestObject) (api.ShowWarehouseResponseObject, error) {
	w, err := s.Warehouse(ctx, reader(ctx), r.SellerID, r.WarehouseID)
	if err != nil {
		return nil, err
	}
	return api.ShowWarehouse200JSONResponse{Body: shownWarehouse(&w), Headers: api.ShowWarehouse200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// MakeWarehouse implements api.StrictServerInterface.
func (s server) MakeWarehouse(ctx context.Context, r api.MakeWarehouseRequestObject) (api.MakeWarehouseResponseObject, error) {
	b := r.Body
	w := Warehouse{State: WarehouseOpen, Name: b.Name, Source: SourceShop}
	w.Country, w.Divisions, w.Priority, w.Cost = b.Country, or(b.Divisions, nil), or(b.Priority, 0), int64(or(b.ParcelCost, 0))
	w.Source = or(b.Source, SourceShop)
	w, err := s.Stock.MakeWarehouse(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, w)
	if err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.atSeller(r.SellerID).Position(ctx))
	return api.MakeWarehouse201JSONResponse{Body: shownWarehouse(&w), Headers: api.MakeWarehouse201ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// ChangeWarehouse implements api.StrictServerInterface.
func (s server) ChangeWarehouse(ctx context.Context, r api.ChangeWarehouseRequestObject) (api.ChangeWarehouseResponseObject, error) {
	b := r.Body
	w := Warehouse{ID: r.WarehouseID, State: WarehouseState(b.State), Name: b.Name}
	w.Country, w.Divisions, w.Priority, w.Cost = b.Country, or(b.Divisions, nil), or(b.Priority, 0), int64(or(b.ParcelCost, 0))
	w, err := s.Stock.ChangeWarehouse(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.Params.IfMatch, w)
	if err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.atSeller(r.SellerID).Position(ctx))
	return api.ChangeWarehouse200JSONResponse{Body: shownWarehouse(&w), Headers: api.ChangeWarehouse200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// ShowStockDocument implements api.StrictServerInterface.
func (s server) ShowStockDocument(ctx context.Context, r api.ShowStockDocumentRequestObject) (api.ShowStockDocumentResponseObject, error) {
	d, err := s.Document(ctx, reader(ctx), r.SellerID, r.Source, r.DocumentID)
	if err != nil {
		return nil, err
	}
	return api.ShowStockDocument200JSONResponse(shownDocument(&d)), nil
}

// PutStockDocument implements api.StrictServerInterface.
func (s server) PutStockDocument(ctx context.Context, r api.PutStockDocumentRequestObject) (api.PutStockDocumentResponseObject, error) {
	d := Document{Source: r.Source, ID: r.DocumentID, Warehouse: r.Body.WarehouseID, Position: int64(or(r.Body.Position, 0))}
	if r.Body.Position != nil && d.Position == 0 {
		return nil, malformed("/position", "want 1 to %d", int64(positionMax))
	}
	for i, line := range r.Body.Lines {
		sku, err := skuOf(line.SkuID, "/lines/"+strconv.Itoa(i)+"/sku_id")
		if err != nil {
			return nil, err
		}
		d.Lines = append(d.Lines, DocumentLine{SKU: sku, Kind: Kind(line.Kind), Quantity: int64(line.Quantity)})
	}
	d, err := s.Tell(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, d)
	if err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.atSeller(r.SellerID).Position(ctx))
	return api.PutStockDocument200JSONResponse(shownDocument(&d)), nil
}

// ListStock implements api.StrictServerInterface.
func (s server) ListStock(ctx context.Context, r api.ListStockRequestObject) (api.ListStockResponseObject, error) {
	var after int64
	if r.Params.Cursor != "" {
		var ok bool
		if after, ok = ids.Parse(r.Params.Cursor); !ok {
			return nil, malformed("", "the cursor is not one of this list")
		}
	}
	page, more, err := s.List(ctx, reader(ctx), r.SellerID, r.Params.Low, after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListStock200JSONResponse{Data: []api.StockOfSKU{}}
	for i := range page {
		one := shownStock(&page[i])
		one.Warehouses = nil
		list.Data = append(list.Data, one)
	}
	if more {
		text := strconv.FormatInt(page[len(page)-1].SKU, 10)
		list.NextCursor = &text
	}
	return list, nil
}

// ShowStock implements api.StrictServerInterface.
func (s server) ShowStock(ctx context.Context, r api.ShowStockRequestObject) (api.ShowStockResponseObject, error) {
	sku, err := skuOf(r.SkuID, "")
	if err != nil {
		return nil, err
	}
	is, err := s.Show(ctx, reader(ctx), r.SellerID, sku)
	if err != nil {
		return nil, err
	}
	return api.ShowStock200JSONResponse{Body: shownStock(&is), Headers: api.ShowStock200ResponseHeaders{ETag: web.Version(is.Version)}}, nil
}

// SetStockPlan implements api.StrictServerInterface.
func (s server) SetStockPlan(ctx context.Context, r api.SetStockPlanRequestObject) (api.SetStockPlanResponseObject, error) {
	sku, err := skuOf(r.SkuID, "")
	if err != nil {
		return nil, err
	}
	to := Plan{Safe: int64(or(r.Body.SafeStock, 0)), Reduces: or(r.Body.SafeReduces, false), Ahead: Ahead{Kind: AheadNone}}
	if r.Body.LowAt != nil {
		to.LowAt = new(int64(*r.Body.LowAt))
	}
	if a := r.Body.Ahead; a != nil {
		if to.Ahead = (Ahead{AheadKind(a.Kind), int64(a.Units), a.On}); to.Ahead.Kind == AheadNone {
			to.Ahead.Kind = "" // off is said by leaving it out
		}
	}
	is, err := s.SetPlan(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, sku, r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	if at, ok := s.atSKU(sku); ok {
		web.Wrote(ctx, at.Position(ctx))
	}
	return api.SetStockPlan200JSONResponse{Body: shownStock(&is), Headers: api.SetStockPlan200ResponseHeaders{ETag: web.Version(is.Version)}}, nil
}

// urlSKUs is how many SKUs one address of the edge is about.
const urlSKUs = 100

// ShowStockHints implements api.StrictServerInterface.
func (s server) ShowStockHints(ctx context.Context, r api.ShowStockHintsRequestObject) (api.ShowStockHintsResponseObject, error) {
	all, err := s.Hints(ctx, r.ProductID)
	if err != nil {
		return nil, err
	}
	hints := api.StockHints{Urls: []string{}, Skus: make([]api.StockHint, len(all))}
	var page []string
	for i, hint := range all {
		id := strconv.FormatInt(hint.SKU, 10)
		hints.Skus[i].SkuID, hints.Skus[i].Ahead = id, shownAhead(hint.Ahead)
		if page = append(page, id); len(page) == urlSKUs || i == len(all)-1 {
			hints.Urls = append(hints.Urls, "/v1/stock?sku_ids="+strings.Join(page, ","))
			page = nil
		}
	}
	return api.ShowStockHints200JSONResponse(hints), nil
}

// or is what a member is, or what it is if it was not given.
func or[T any](member *T, otherwise T) T {
	if member == nil {
		return otherwise
	}
	return *member
}
