package offer

import (
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/offer/internal/api"
	"sluice/catalog/seller"
	"sluice/core/auth"
	"sluice/core/ids"
)

var (
	people    = web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner)
	readers   = people | web.RolesOf(web.RoleSellerKey)
	reviewers = web.RolesOf(web.RoleSupport, web.RoleOps)
)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListOffers": {Roles: web.Anybody, On: "all offers that come"},
	"ReadOffer":  {Roles: web.Anybody, On: "any offer that was approved"},

	"ListOffersOfSeller": {Roles: readers, KeyScope: seller.ScopeOffers, On: "its own seller", Live: true},
	"ShowOfferOfSeller":  {Roles: readers, KeyScope: seller.ScopeOffers, On: "its own seller", Live: true},
	"ListOfferMoves":     {Roles: readers, KeyScope: seller.ScopeOffers, On: "its own seller", Live: true},
	"MakeOffer":          {Roles: people, On: "its own seller"},
	"ChangeOffer":        {Roles: people, On: "its own seller"},
	"MoveOffer":          {Roles: people, On: "its own seller"},

	"ListOfferReviews": {Roles: reviewers | web.RolesOf(auth.RoleAdmin), On: "any offer", Live: true},
	"ShowOfferReview":  {Roles: reviewers | web.RolesOf(auth.RoleAdmin), On: "any offer", Live: true},
	"ClaimOffer":       {Roles: reviewers, On: "any offer of a seller in which it is nobody"},
	"DecideOffer":      {Roles: reviewers, On: "any offer of a seller in which it is nobody", StepUp: true},
	"OverruleOffer":    {Roles: web.RolesOf(web.RoleOps, auth.RoleAdmin), On: "any offer of a seller in which it is nobody", StepUp: true},
}

// Routes are the operations of offers.
func (o *Offers) Routes() []web.Route { return api.Routes(server{o}) }

// server answers requests.
type server struct{ *Offers }

var _ api.StrictServerInterface = server{}

// pageLimit is how many items a page has if nobody says.
const pageLimit = 50

// caller is who asks for a write.
func caller(ctx context.Context, key string) Caller {
	return Caller{Author: audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}, User: ids.User(web.Who(ctx).Subject), Key: key}
}

// reader is who reads something of a seller.
func reader(ctx context.Context) seller.Reader {
	return seller.Reader{User: ids.User(web.Who(ctx).Subject), Key: ids.Seller(web.Tenant(ctx))}
}

// wrote tells the client where its write is, and what became of the offer.
func (s server) wrote(ctx context.Context, of *Offer) api.OfferOfSeller {
	web.Wrote(ctx, s.databases.At(shardOf(of.ID)).Position(ctx))
	return forSeller(of)
}
