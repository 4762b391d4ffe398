package account

import (
	"context"

	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
)

// holder is the user of the token of a request, at its session.
func holder(ctx context.Context) Holder { return Holder{me(ctx), web.Who(ctx).Session} }

func or[T any](value *T, none T) T {
	if value == nil {
		return none
	}
	return *value
}

// AskPhoneCode implements api.StrictServerInterface.
func (s server) AskPhoneCode(ctx context.Context, r api.AskPhoneCodeRequestObject) (api.AskPhoneCodeResponseObject, error) {
	if err := notEmpty("/country", r.Body.Country); err != nil {
		return nil, err
	}
	asked, err := s.AskPhone(ctx, caller(ctx, r.Params.IdempotencyKey), PhoneRegistration{
		Phone: r.Body.Phone, Country: or(r.Body.Country, ""), Device: or(r.Body.DeviceToken, ""), Home: Home{Region: r.Body.Region, Locale: r.Body.Locale},
	})
	if err != nil {
		return nil, err
	}
	return api.AskPhoneCode202JSONResponse(shownChallenge(asked)), nil
}

// SignInByPhone implements api.StrictServerInterface.
func (s server) SignInByPhone(ctx context.Context, r api.SignInByPhoneRequestObject) (api.SignInByPhoneResponseObject, error) {
	by := caller(ctx, r.Params.IdempotencyKey)
	if err := notEmpty("/device_name", r.Body.DeviceName); err != nil {
		return nil, err
	}
	by.Device, by.DeviceName = or(r.Body.DeviceToken, ""), or(r.Body.DeviceName, "")
	in, err := s.EnterByPhone(ctx, by, r.ChallengeID, r.Body.Code)
	switch {
	case err != nil:
		return nil, err
	case in.Second != nil:
		return api.SignInByPhone202JSONResponse(shownChallenge(*in.Second)), nil
	}
	return api.SignInByPhone201JSONResponse(shownTokens(in.Tokens)), nil
}

// AskNewPhone implements api.StrictServerInterface.
func (s server) AskNewPhone(ctx context.Context, r api.AskNewPhoneRequestObject) (api.AskNewPhoneResponseObject, error) {
	if err := notEmpty("/country", r.Body.Country); err != nil {
		return nil, err
	}
	asked, err := s.AskSetPhone(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx), r.Body.Phone, or(r.Body.Country, ""))
	if err != nil {
		return nil, err
	}
	return api.AskNewPhone202JSONResponse(shownChallenge(asked)), nil
}

// SetPhone implements api.StrictServerInterface.
func (s server) SetPhone(ctx context.Context, r api.SetPhoneRequestObject) (api.SetPhoneResponseObject, error) {
	added, err := s.Accounts.SetPhone(ctx, caller(ctx, r.Params.IdempotencyKey), holder(ctx), r.ChallengeID, r.Body.Code)
	if err != nil {
		return nil, err
	}
	return api.SetPhone200JSONResponse(shownIdentity(added)), nil
}

// AskNewEmail implements api.StrictServerInterface.
func (s server) AskNewEmail(ctx context.Context, r api.AskNewEmailRequestObject) (api.AskNewEmailResponseObject, error) {
	asked, err := s.AskSetEmail(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx), r.Body.Email, r.Body.Password)
	if err != nil {
		return nil, err
	}
	return api.AskNewEmail202JSONResponse(shownChallenge(asked)), nil
}

// SetEmail implements api.StrictServerInterface.
func (s server) SetEmail(ctx context.Context, r api.SetEmailRequestObject) (api.SetEmailResponseObject, error) {
	set, err := s.Accounts.SetEmail(ctx, caller(ctx, r.Params.IdempotencyKey), holder(ctx), r.ChallengeID, r.Body.Code)
	if err != nil {
		return nil, err
	}
	return api.SetEmail200JSONResponse(shownIdentity(set)), nil
}

// ListIdentities implements api.StrictServerInterface.
func (s server) ListIdentities(ctx context.Context, _ api.ListIdentitiesRequestObject) (api.ListIdentitiesResponseObject, error) {
	all, err := s.Identities(ctx, me(ctx))
	if err != nil {
		return nil, err
	}
	answer := api.ListIdentities200JSONResponse{Data: []api.Identity{}}
	for _, i := range all {
		answer.Data = append(answer.Data, shownIdentity(i))
	}
	return answer, nil
}

// RemoveIdentity implements api.StrictServerInterface.
func (s server) RemoveIdentity(ctx context.Context, r api.RemoveIdentityRequestObject) (api.RemoveIdentityResponseObject, error) {
	if err := s.Accounts.RemoveIdentity(ctx, holder(ctx), r.IdentityID); err != nil {
		return nil, err
	}
	return api.RemoveIdentity204Response{}, nil
}

func shownIdentity(i Identity) api.Identity {
	to := api.Identity{IdentityID: i.ID, Kind: api.IdentityKind(i.Kind), AddedAt: i.MadeAt.UTC()}
	if i.Provider != "" {
		to.Provider = &i.Provider
	}
	if i.Value != "" {
		to.Value = &i.Value
	}
	return to
}
