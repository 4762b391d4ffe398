package seller

import (
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller/internal/api"
	"sluice/core/auth"
	"sluice/core/ids"
)

// readers are who reads what all people of a seller may read.
var readers = web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner, web.RoleSellerKey)

// reviewers are who reviews applications.
var reviewers = web.RolesOf(web.RoleSupport, web.RoleOps)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"Apply":             {Roles: web.RolesOf(auth.RoleShopper), On: "a seller of its own"},
	"ListMySellers":     {Roles: web.RolesOf(auth.RoleShopper), On: "the sellers in which it is somebody"},
	"ShowSeller":        {Roles: web.Anybody, On: "any seller that has opened"},
	"ShowApplication":   {Roles: readers, KeyScope: ScopeSeller, On: "its own seller", Live: true},
	"ChangeApplication": {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller"},

	"JoinSeller":         {Roles: web.RolesOf(auth.RoleShopper), On: "a seller that has invited it"},
	"ListMembers":        {Roles: readers, KeyScope: ScopeMembers, On: "its own seller", Live: true},
	"RemoveMember":       {Roles: web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner), On: "its own seller; a member only itself"},
	"ListInvitations":    {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", Live: true},
	"Invite":             {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", StepUp: true},
	"WithdrawInvitation": {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller"},
	"ShowOffer":          {Roles: web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner), On: "its own seller", Live: true},
	"OfferSeller":        {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", StepUp: true},
	"EndOffer":           {Roles: web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner), On: "its own offer, or one to it"},
	"AcceptSeller":       {Roles: web.RolesOf(web.RoleSellerMember, web.RoleSellerOwner), On: "its own seller, if that is offered to it", StepUp: true},
	"ListKeys":           {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", Live: true},
	"MakeKey":            {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", StepUp: true},
	"RevokeKey":          {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller"},
	"ListWebhooks":       {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", Live: true},
	"MakeWebhook":        {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", StepUp: true},
	"ShowWebhook":        {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", Live: true},
	"ChangeWebhook":      {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", StepUp: true},
	"RemoveWebhook":      {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller"},
	"RotateWebhook":      {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", StepUp: true},
	"TestWebhook":        {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller"},
	"ListDeliveries":     {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller", Live: true},
	"Redeliver":          {Roles: web.RolesOf(web.RoleSellerOwner), On: "its own seller"},
	"ListSellerActs":     {Roles: readers, KeyScope: ScopeMembers, On: "its own seller", Live: true},

	"ListReviews":  {Roles: web.RolesOf(web.RoleSupport, web.RoleOps, auth.RoleAdmin), On: "any seller", Live: true},
	"ShowReview":   {Roles: web.RolesOf(web.RoleSupport, web.RoleOps, auth.RoleAdmin), On: "any seller", Live: true},
	"ClaimReview":  {Roles: reviewers, On: "any seller in which it is nobody"},
	"DecideReview": {Roles: reviewers, On: "any seller in which it is nobody", StepUp: true},
	"MoveSeller":   {Roles: web.RolesOf(web.RoleOps, auth.RoleAdmin), On: "any seller in which it is nobody", StepUp: true},
}

// Routes are the operations of sellers.
func (s *Sellers) Routes() []web.Route { return api.Routes(server{s}) }

// server answers requests.
type server struct{ *Sellers }

var _ api.StrictServerInterface = server{}

// me is the user of the token of a request.
func me(ctx context.Context) ids.User { return ids.User(web.Who(ctx).Subject) }

// reader is who reads something of a seller.
func reader(ctx context.Context) Reader {
	return Reader{User: me(ctx), Key: ids.Seller(web.Tenant(ctx))}
}

// caller is who asks for a write.
func caller(ctx context.Context, key string) Caller {
	return Caller{Author: audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}, User: me(ctx), Key: key, Address: web.Client(ctx)}
}

// wrote tells the client where its write is, and what became of the seller.
func (s server) wrote(ctx context.Context, of Seller) api.Seller {
	web.Wrote(ctx, s.at(of.ID).Position(ctx))
	return api.Seller{SellerID: of.ID, State: api.SellerState(of.State), AppliedAt: shown(of.AppliedAt), Version: int(of.Version)}
}

// Apply implements api.StrictServerInterface.
func (s server) Apply(ctx context.Context, r api.ApplyRequestObject) (api.ApplyResponseObject, error) {
	of, err := s.Sellers.Apply(ctx, caller(ctx, r.Params.IdempotencyKey), sent(r.Body))
	if err != nil {
		return nil, err
	}
	return api.Apply201JSONResponse{Body: s.wrote(ctx, of), Headers: api.Apply201ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ChangeApplication implements api.StrictServerInterface.
func (s server) ChangeApplication(ctx context.Context, r api.ChangeApplicationRequestObject) (api.ChangeApplicationResponseObject, error) {
	of, err := s.Change(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.Params.IfMatch, sent(r.Body))
	if err != nil {
		return nil, err
	}
	return api.ChangeApplication200JSONResponse{Body: s.wrote(ctx, of), Headers: api.ChangeApplication200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ShowApplication implements api.StrictServerInterface.
func (s server) ShowApplication(ctx context.Context, r api.ShowApplicationRequestObject) (api.ShowApplicationResponseObject, error) {
	a, err := s.Application(ctx, reader(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	of := shownApplication(a.Application)
	body := api.ApplicationOfSeller{
		SellerID: a.ID, State: api.SellerState(a.State), AppliedAt: shown(a.AppliedAt), Version: int(a.Version),
		LegalName: of.LegalName, LicenceNo: of.LicenceNo, Address: of.Address, Documents: of.Documents,
	}
	if a.Reason != "" {
		body.Reason = &a.Reason
	}
	return api.ShowApplication200JSONResponse{Body: body, Headers: api.ShowApplication200ResponseHeaders{ETag: web.Version(a.Version)}}, nil
}

// ShowSeller implements api.StrictServerInterface.
func (s server) ShowSeller(ctx context.Context, r api.ShowSellerRequestObject) (api.ShowSellerResponseObject, error) {
	state, a, err := s.Public(ctx, r.SellerID)
	if err != nil {
		return nil, err
	}
	of := shownApplication(a)
	return api.ShowSeller200JSONResponse{SellerID: r.SellerID, State: api.SellerState(state), LegalName: of.LegalName, Address: of.Address}, nil
}

// ListMySellers implements api.StrictServerInterface.
func (s server) ListMySellers(ctx context.Context, r api.ListMySellersRequestObject) (api.ListMySellersResponseObject, error) {
	after, err := queue.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, web.Malformed("", "%v", err)
	}
	all, next, err := s.Mine(ctx, me(ctx), after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListMySellers200JSONResponse{Data: []api.Membership{}}
	for i := range all {
		list.Data = append(list.Data, shownMembership(&all[i]))
	}
	list.NextCursor = next.Next()
	return list, nil
}

// sent is an application as it was sent.
func sent(a *api.Application) Application {
	of := Application{
		LegalName: a.LegalName, LicenceNo: a.LicenceNo, Address: Address{Country: a.Address.Country, Text: a.Address.Text},
	}
	if a.Address.Divisions != nil {
		of.Address.Divisions = *a.Address.Divisions
	}
	for _, d := range a.Documents {
		of.Documents = append(of.Documents, Document{Kind: string(d.Kind), Key: d.Key, SHA256: d.Sha256})
	}
	return of
}

// shownApplication is an application as the API shows it.
func shownApplication(a Application) api.Application {
	of := api.Application{
		LegalName: a.LegalName, LicenceNo: a.LicenceNo, Address: api.SellerAddress{Country: a.Address.Country, Text: a.Address.Text},
		Documents: []api.Document{},
	}
	if len(a.Address.Divisions) > 0 {
		of.Address.Divisions = &a.Address.Divisions
	}
	for _, d := range a.Documents {
		of.Documents = append(of.Documents, api.Document{Kind: api.DocumentKind(d.Kind), Key: d.Key, Sha256: d.SHA256})
	}
	return of
}
