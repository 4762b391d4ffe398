package price

import (
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/web"
	"sluice/catalog/price/internal/api"
	"sluice/catalog/seller"
	"sluice/core/auth"
	"sluice/core/ids"
)

var (
	people  = web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner)
	readers = people | web.RolesOf(web.RoleSellerKey)
)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListMarkets":         {Roles: web.Anybody, On: "all markets"},
	"ShowPricesOfProduct": {Roles: web.Anybody, On: "any product that is listed"},
	"SnapshotPrices":      {Roles: web.RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeProductsRead, On: "all prices"},
	"ShowPrices":          {Roles: readers, KeyScope: seller.ScopeProducts, On: "its own seller", Live: true},
	"ListPriceChanges":    {Roles: readers, KeyScope: seller.ScopeProducts, On: "its own seller", Live: true},
	"SetPrices":           {Roles: people, On: "its own seller"},
	"MakeQuote":           {Roles: web.RolesOf(auth.RoleShopper), On: "itself"},
}

// Routes are the operations of prices.
func (p *Pricing) Routes() []web.Route { return api.Routes(server{p}) }

// server answers requests.
type server struct{ *Pricing }

var _ api.StrictServerInterface = server{}

// caller is who asks for a write.
func caller(ctx context.Context, key string) Caller {
	return Caller{Author: audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}, User: ids.User(web.Who(ctx).Subject), Key: key}
}

// reader is who reads something of a seller.
func reader(ctx context.Context) seller.Reader {
	return seller.Reader{User: ids.User(web.Who(ctx).Subject), Key: ids.Seller(web.Tenant(ctx))}
}

// ListMarkets implements api.StrictServerInterface.
func (s server) ListMarkets(context.Context, api.ListMarketsRequestObject) (api.ListMarketsResponseObject, error) {
	list := api.ListMarkets200JSONResponse{Data: []api.ShownMarket{}}
	for _, m := range s.markets.All() {
		shown := api.ShownMarket{
			Market: m.Code, Currency: m.Currency.String(), Locale: m.Locale, TaxInclusive: m.Regime.Inclusive,
			PriceMin: m.PriceMin, PriceMax: m.PriceMax, TaxRates: map[string]int64{},
		}
		for category, rate := range m.Regime.Rates {
			shown.TaxRates[category] = int64(rate)
		}
		list.Data = append(list.Data, shown)
	}
	return list, nil
}

// snapshotLimit is how many items a page of a snapshot has if nobody says.
const snapshotLimit = web.LimitMax

// SnapshotPrices implements api.StrictServerInterface.
func (s server) SnapshotPrices(ctx context.Context, r api.SnapshotPricesRequestObject) (api.SnapshotPricesResponseObject, error) {
	after, err := ParseSnapshotCursor(r.Params.Cursor)
	if err != nil {
		return nil, web.Malformed("", "%v", err)
	}
	page, next, err := s.Snapshot(ctx, after, r.Params.Limit.Or(snapshotLimit))
	if err != nil {
		return nil, err
	}
	list := api.SnapshotPrices200JSONResponse{Data: []api.PriceStanding{}}
	for _, of := range page {
		list.Data = append(list.Data, api.PriceStanding{AggregateID: of.Aggregate, Version: int(of.Version), Type: of.Type, Data: of.Data})
	}
	if next != (outbox.Cursor{}) {
		text := next.String()
		list.NextCursor = &text
	}
	return list, nil
}
