package product

import (
	"cmp"
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
)

// keepers are who keeps the tree and the brands.
var keepers = web.RolesOf(web.RoleOps, auth.RoleAdmin)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListCategories": {Roles: web.Anybody, On: "all categories"},
	"ShowCategory":   {Roles: web.Anybody, On: "any category"},
	"ListAttributes": {Roles: web.Anybody, On: "any category"},
	"ListBrands":     {Roles: web.Anybody, On: "all brands"},
	"ShowBrand":      {Roles: web.Anybody, On: "any brand"},

	"MakeCategory":    {Roles: keepers, On: "the tree of categories"},
	"ChangeCategory":  {Roles: keepers, On: "any category"},
	"SetAttribute":    {Roles: keepers, On: "any category"},
	"RemoveAttribute": {Roles: keepers, On: "any category"},
	"MakeBrand":       {Roles: keepers, On: "the brands"},
	"ChangeBrand":     {Roles: keepers, On: "any brand"},
}

// Routes are the operations of products.
func (p *Products) Routes() []web.Route { return api.Routes(server{p}) }

// server answers requests.
type server struct{ *Products }

var _ api.StrictServerInterface = server{}

// listLimit is how many items a page has if nobody says.
const listLimit = web.LimitMax

// caller is who asks for a write.
func caller(ctx context.Context, key string) Caller {
	return Caller{Author: audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}, User: ids.User(web.Who(ctx).Subject), Key: key}
}

// wrote tells the client where its write of what is common is. Without replicas there is no position, but each process has the tree in
// memory: then it is the highest one, which makes a process ask, and a user's reading elsewhere no older.
func (s server) wrote(ctx context.Context) {
	web.Wrote(ctx, cmp.Or(s.common().Position(ctx), db.Never))
}
