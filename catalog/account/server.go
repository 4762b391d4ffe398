package account

import (
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ListAudit": {Roles: web.RolesOf(auth.RoleAdmin), On: "all acts"},
	"ShowMe":    {Roles: web.RolesOf(auth.RoleShopper), On: "its own user"},
	"ShowUser":  {Roles: web.RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeUsersRead, On: "any user"},
	"MakeUser":  {Roles: web.RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeUsersWrite, On: "any user"},

	"ListRoles": {Roles: web.RolesOf(auth.RoleAdmin), On: "any user"},
	"SetRole":   {Roles: web.RolesOf(auth.RoleAdmin), On: "any user"},

	"RegisterUser":        {Roles: web.Anybody, On: "its own address"},
	"VerifyEmail":         {Roles: web.Anybody, On: "its own address"},
	"AskReset":            {Roles: web.Anybody, On: "its own address"},
	"ResetPassword":       {Roles: web.Anybody, On: "its own address"},
	"SignIn":              {Roles: web.Anybody, On: "its own user"},
	"RefreshTokens":       {Roles: web.Anybody, On: "its own session"},
	"ShowKeys":            {Roles: web.Anybody, On: "the shop"},
	"ListSessions":        {Roles: web.RolesOf(auth.RoleShopper), On: "its own sessions", Live: true},
	"EndSession":          {Roles: web.RolesOf(auth.RoleShopper), On: "its own sessions"},
	"EndOtherSessions":    {Roles: web.RolesOf(auth.RoleShopper), On: "its own sessions"},
	"AskPhoneCode":        {Roles: web.Anybody, On: "its own number"},
	"SignInByPhone":       {Roles: web.Anybody, On: "its own user"},
	"AskNewPhone":         {Roles: web.RolesOf(auth.RoleShopper), On: "its own user", StepUp: true},
	"SetPhone":            {Roles: web.RolesOf(auth.RoleShopper), On: "its own user", StepUp: true},
	"AskNewEmail":         {Roles: web.RolesOf(auth.RoleShopper), On: "its own user", StepUp: true},
	"SetEmail":            {Roles: web.RolesOf(auth.RoleShopper), On: "its own user", StepUp: true},
	"ListIdentities":      {Roles: web.RolesOf(auth.RoleShopper), On: "its own identities", Live: true},
	"RemoveIdentity":      {Roles: web.RolesOf(auth.RoleShopper), On: "its own identities", StepUp: true},
	"ListProviders":       {Roles: web.Anybody, On: "the shop"},
	"BeginAtProvider":     {Roles: web.Anybody, On: "its own user"},
	"SignInByProvider":    {Roles: web.Anybody, On: "its own user"},
	"BeginAddingProvider": {Roles: web.RolesOf(auth.RoleShopper), On: "its own identities", StepUp: true},
	"AddProvider":         {Roles: web.RolesOf(auth.RoleShopper), On: "its own identities", StepUp: true},

	"ChangePassword": {Roles: web.RolesOf(auth.RoleShopper), On: "its own user"},

	"FinishSignIn":       {Roles: web.Anybody, On: "its own user"},
	"ListSignIns":        {Roles: web.RolesOf(auth.RoleShopper), On: "its own sign-ins", Live: true},
	"StepUp":             {Roles: web.RolesOf(auth.RoleShopper), On: "its own session"},
	"ShowFactor":         {Roles: web.RolesOf(auth.RoleShopper), On: "its own second factor", Live: true},
	"BeginFactor":        {Roles: web.RolesOf(auth.RoleShopper), On: "its own second factor", StepUp: true},
	"ConfirmFactor":      {Roles: web.RolesOf(auth.RoleShopper), On: "its own second factor"},
	"RemoveFactor":       {Roles: web.RolesOf(auth.RoleShopper), On: "its own second factor", StepUp: true},
	"RenewRecoveryCodes": {Roles: web.RolesOf(auth.RoleShopper), On: "its own second factor", StepUp: true},

	"ShowProfile":   {Roles: web.RolesOf(auth.RoleShopper), On: "its own profile", Live: true},
	"ChangeProfile": {Roles: web.RolesOf(auth.RoleShopper), On: "its own profile"},
	"ListAddresses": {Roles: web.RolesOf(auth.RoleShopper), On: "its own addresses", Live: true},
	"AddAddress":    {Roles: web.RolesOf(auth.RoleShopper), On: "its own addresses"},
	"ShowAddress":   {Roles: web.RolesOf(auth.RoleShopper), On: "its own addresses", Live: true},
	"ChangeAddress": {Roles: web.RolesOf(auth.RoleShopper), On: "its own addresses"},
	"RemoveAddress": {Roles: web.RolesOf(auth.RoleShopper), On: "its own addresses"},
	"ListConsents":  {Roles: web.RolesOf(auth.RoleShopper), On: "its own consents", Live: true},
	"NoteConsent":   {Roles: web.RolesOf(auth.RoleShopper), On: "its own consents"},
	"ShowMyData":    {Roles: web.RolesOf(auth.RoleShopper), On: "all that is kept about it", Live: true},
	"EraseMe":       {Roles: web.RolesOf(auth.RoleShopper), On: "its own user"},
}

// author is who makes a request, for the log of privileged acts.
func author(ctx context.Context) audit.Author {
	return audit.Author{Actor: web.Actor(ctx), Origin: web.Origin(ctx)}
}

// Routes are the operations of accounts.
func (a *Accounts) Routes() []web.Route { return api.Routes(server{a}) }

// server answers requests.
type server struct{ *Accounts }

var _ api.StrictServerInterface = server{}

// ShowMe implements api.StrictServerInterface.
func (s server) ShowMe(ctx context.Context, r api.ShowMeRequestObject) (api.ShowMeResponseObject, error) {
	user, err := s.User(ctx, ids.User(web.Who(ctx).Subject), r.Params.ReadAfter)
	if err != nil {
		return nil, err
	}
	return api.ShowMe200JSONResponse(shown(user)), nil
}

// ShowUser implements api.StrictServerInterface.
func (s server) ShowUser(ctx context.Context, r api.ShowUserRequestObject) (api.ShowUserResponseObject, error) {
	user, err := s.User(ctx, r.UserID, db.Never)
	if err != nil {
		return nil, err
	}
	return api.ShowUser200JSONResponse(shown(user)), nil
}

// MakeUser implements api.StrictServerInterface.
func (s server) MakeUser(ctx context.Context, r api.MakeUserRequestObject) (api.MakeUserResponseObject, error) {
	user, made, err := s.Make(ctx, r.UserID, Home{Region: r.Body.Region, Locale: r.Body.Locale}, author(ctx))
	if err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.at(r.UserID).Position(ctx))
	if made {
		return api.MakeUser201JSONResponse(shown(user)), nil
	}
	return api.MakeUser200JSONResponse(shown(user)), nil
}

// shown is a user as the API shows it.
func shown(u User) api.User {
	return api.User{
		UserID: u.ID, State: api.UserState(u.State), Region: u.Region, Locale: u.Locale, CreatedAt: u.CreatedAt.UTC(),
	}
}
