package account

import (
	"context"

	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
)

// ListRoles implements api.StrictServerInterface.
func (s server) ListRoles(ctx context.Context, r api.ListRolesRequestObject) (api.ListRolesResponseObject, error) {
	all, err := s.Roles(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	return api.ListRoles200JSONResponse(shownRoles(all)), nil
}

// SetRole implements api.StrictServerInterface.
func (s server) SetRole(ctx context.Context, r api.SetRoleRequestObject) (api.SetRoleResponseObject, error) {
	role := string(r.Role)
	if _, ok := grantable[role]; !ok {
		return nil, web.Malformed("", "the role of the path: want support or ops")
	}
	if err := s.Accounts.SetRole(ctx, r.UserID, role, r.Body.Granted, r.Body.Reason, author(ctx)); err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.at(r.UserID).Position(ctx))
	return api.SetRole204Response{}, nil
}

func shownRoles(all []GrantedRole) api.GrantedRoles {
	shown := api.GrantedRoles{Data: []api.GrantedRole{}}
	for _, r := range all {
		shown.Data = append(shown.Data, api.GrantedRole{Role: api.GrantedRoleRole(r.Role), GrantedBy: r.By, Reason: r.Reason, GrantedAt: r.At.UTC()})
	}
	return shown
}
