package product

import (
	"cmp"
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
	"sluice/catalog/seller"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
)

// keepers are who keeps the tree and the brands.
var keepers = web.RolesOf(web.RoleOps, auth.RoleAdmin)

var (
	people    = web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner)
	readers   = people | web.RolesOf(web.RoleSellerKey)
	reviewers = web.RolesOf(web.RoleSupport, web.RoleOps)
)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListCategories": {Roles: web.Anybody, On: "all categories"},
	"ShowCategory":   {Roles: web.Anybody, On: "any category"},
	"ListAttributes": {Roles: web.Anybody, On: "any category"},
	"ListBrands":     {Roles: web.Anybody, On: "all brands"},
	"ShowBrand":      {Roles: web.Anybody, On: "any brand"},

	"SnapshotProducts": {Roles: web.RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeProductsRead, On: "all products, categories and brands"},

	"MakeCategory":    {Roles: keepers, On: "the tree of categories"},
	"ChangeCategory":  {Roles: keepers, On: "any category"},
	"SetAttribute":    {Roles: keepers, On: "any category"},
	"RemoveAttribute": {Roles: keepers, On: "any category"},
	"MakeBrand":       {Roles: keepers, On: "the brands"},
	"ChangeBrand":     {Roles: keepers, On: "any brand"},

	"ShowProduct":         {Roles: web.Anybody, On: "any product that is listed"},
	"ListProducts":        {Roles: readers, KeyScope: seller.ScopeProducts, On: "its own seller", Live: true},
	"ShowProductOfSeller": {Roles: readers, KeyScope: seller.ScopeProducts, On: "its own seller", Live: true},
	"ListVersions":        {Roles: readers, KeyScope: seller.ScopeProducts, On: "its own seller", Live: true},
	"MakeProduct":         {Roles: people, On: "its own seller"},
	"ChangeProduct":       {Roles: people, On: "its own seller"},
	"MoveProduct":         {Roles: people, On: "its own seller"},
	"SetText":             {Roles: people, On: "its own seller"},
	"RemoveText":          {Roles: people, On: "its own seller"},
	"AddSKU":              {Roles: people, On: "its own seller"},
	"ChangeSKU":           {Roles: people, On: "its own seller"},
	"RestoreProduct":      {Roles: people, On: "its own seller"},

	"AskUpload":  {Roles: people, On: "its own seller"},
	"CheckMedia": {Roles: people, On: "its own seller"},

	"ListMediaReviews":   {Roles: reviewers | web.RolesOf(auth.RoleAdmin), On: "any picture", Live: true},
	"DecideMedia":        {Roles: reviewers, On: "any picture of a seller in which it is nobody", StepUp: true},
	"ListProductReviews": {Roles: reviewers | web.RolesOf(auth.RoleAdmin), On: "any product", Live: true},
	"ShowProductReview":  {Roles: reviewers | web.RolesOf(auth.RoleAdmin), On: "any product", Live: true},
	"ClaimProduct":       {Roles: reviewers, On: "any product of a seller in which it is nobody"},
	"DecideProduct":      {Roles: reviewers, On: "any product of a seller in which it is nobody", StepUp: true},
	"OverruleProduct":    {Roles: keepers, On: "any product of a seller in which it is nobody", StepUp: true},
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
