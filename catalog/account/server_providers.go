package account

import (
	"context"

	"sluice/catalog/account/internal/api"
)

// ListProviders implements api.StrictServerInterface.
func (s server) ListProviders(context.Context, api.ListProvidersRequestObject) (api.ListProvidersResponseObject, error) {
	answer := api.ListProviders200JSONResponse{Data: []api.Provider{}}
	for _, p := range s.Providers() {
		answer.Data = append(answer.Data, api.Provider{Provider: p.Name, Title: p.Title})
	}
	return answer, nil
}

// BeginAtProvider implements api.StrictServerInterface.
func (s server) BeginAtProvider(ctx context.Context, r api.BeginAtProviderRequestObject) (api.BeginAtProviderResponseObject, error) {
	begun, err := s.Accounts.BeginAtProvider(ctx, r.Provider, Home{Region: r.Body.Region, Locale: r.Body.Locale})
	if err != nil {
		return nil, err
	}
	return api.BeginAtProvider201JSONResponse(shownFlow(begun)), nil
}

// SignInByProvider implements api.StrictServerInterface.
func (s server) SignInByProvider(ctx context.Context, r api.SignInByProviderRequestObject) (api.SignInByProviderResponseObject, error) {
	by := caller(ctx, r.Params.IdempotencyKey)
	if err := notEmpty("/device_name", r.Body.DeviceName); err != nil {
		return nil, err
	}
	by.Device, by.DeviceName = or(r.Body.DeviceToken, ""), or(r.Body.DeviceName, "")
	in, err := s.EnterByProvider(ctx, by, r.Provider, Return{Flow: r.Body.FlowToken, Code: r.Body.Code, State: r.Body.State, Issuer: or(r.Body.Iss, "")})
	switch {
	case err != nil:
		return nil, err
	case in.Second != nil:
		return api.SignInByProvider202JSONResponse(shownChallenge(*in.Second)), nil
	}
	return api.SignInByProvider201JSONResponse(shownTokens(in.Tokens)), nil
}

// BeginAddingProvider implements api.StrictServerInterface.
func (s server) BeginAddingProvider(ctx context.Context, r api.BeginAddingProviderRequestObject) (api.BeginAddingProviderResponseObject, error) {
	begun, err := s.BeginAdding(ctx, holder(ctx), r.Provider)
	if err != nil {
		return nil, err
	}
	return api.BeginAddingProvider201JSONResponse(shownFlow(begun)), nil
}

// AddProvider implements api.StrictServerInterface.
func (s server) AddProvider(ctx context.Context, r api.AddProviderRequestObject) (api.AddProviderResponseObject, error) {
	back := Return{Flow: r.Body.FlowToken, Code: r.Body.Code, State: r.Body.State, Issuer: or(r.Body.Iss, "")}
	added, err := s.Accounts.AddProvider(ctx, caller(ctx, r.Params.IdempotencyKey), holder(ctx), r.Provider, back)
	if err != nil {
		return nil, err
	}
	return api.AddProvider200JSONResponse(shownIdentity(added)), nil
}

func shownFlow(b Begun) api.Flow {
	return api.Flow{FlowToken: b.Flow, AuthorizeURL: b.Address, ExpiresAt: b.EndsAt.UTC()}
}
