package account

import (
	"context"
	"time"

	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/ids"
)

// caller is who makes a request.
func caller(ctx context.Context, key string) Caller {
	return Caller{Address: web.Client(ctx), Key: key}
}

// me is the user of the token of a request.
func me(ctx context.Context) ids.User { return ids.User(web.Who(ctx).Subject) }

// RegisterUser implements api.StrictServerInterface.
func (s server) RegisterUser(ctx context.Context, r api.RegisterUserRequestObject) (api.RegisterUserResponseObject, error) {
	asked, err := s.Register(ctx, caller(ctx, r.Params.IdempotencyKey), Registration{
		Email: r.Body.Email, Password: r.Body.Password, Home: Home{Region: r.Body.Region, Locale: r.Body.Locale},
	})
	if err != nil {
		return nil, err
	}
	return api.RegisterUser202JSONResponse(shownChallenge(asked)), nil
}

func shownChallenge(c Asked) api.Challenge {
	return api.Challenge{ChallengeID: c.Challenge, ExpiresAt: c.EndsAt.UTC()}
}

// VerifyEmail implements api.StrictServerInterface.
func (s server) VerifyEmail(ctx context.Context, r api.VerifyEmailRequestObject) (api.VerifyEmailResponseObject, error) {
	user, err := s.Verify(ctx, caller(ctx, r.Params.IdempotencyKey), r.ChallengeID, r.Body.Code)
	if err != nil {
		return nil, err
	}
	return api.VerifyEmail201JSONResponse(shown(user)), nil
}

// SignIn implements api.StrictServerInterface.
func (s server) SignIn(ctx context.Context, r api.SignInRequestObject) (api.SignInResponseObject, error) {
	if err := notEmpty("/device_name", r.Body.DeviceName); err != nil {
		return nil, err
	}
	with := SignIn{Email: r.Body.Email, Password: r.Body.Password}
	if r.Body.DeviceToken != nil {
		with.Device = *r.Body.DeviceToken
	}
	by := caller(ctx, r.Params.IdempotencyKey)
	if r.Body.DeviceName != nil {
		by.DeviceName = *r.Body.DeviceName
	}
	in, err := s.Accounts.SignIn(ctx, by, with)
	switch {
	case err != nil:
		return nil, err
	case in.Second != nil:
		return api.SignIn202JSONResponse(shownChallenge(*in.Second)), nil
	}
	return api.SignIn201JSONResponse(shownTokens(in.Tokens)), nil
}

func shownTokens(t Tokens) api.Tokens {
	to := api.Tokens{
		UserID: t.User, SessionID: t.Session, AccessToken: t.Access, TokenType: api.Bearer, RefreshToken: t.Refresh,
		ExpiresIn: int(auth.ShopperLifetime / time.Second),
	}
	if t.Device != "" {
		to.DeviceToken = &t.Device
	}
	return to
}

// RefreshTokens implements api.StrictServerInterface.
func (s server) RefreshTokens(ctx context.Context, r api.RefreshTokensRequestObject) (api.RefreshTokensResponseObject, error) {
	tokens, err := s.Refresh(ctx, r.Body.RefreshToken)
	if err != nil {
		return nil, err
	}
	return api.RefreshTokens200JSONResponse(shownTokens(tokens)), nil
}

// ListSessions implements api.StrictServerInterface.
func (s server) ListSessions(ctx context.Context, _ api.ListSessionsRequestObject) (api.ListSessionsResponseObject, error) {
	all, err := s.Sessions(ctx, me(ctx))
	if err != nil {
		return nil, err
	}
	return api.ListSessions200JSONResponse{Data: shownSessions(all, web.Who(ctx).Session)}, nil
}

func shownSessions(all []Session, current ids.Session) []api.Session {
	shown := make([]api.Session, len(all))
	for i, of := range all {
		shown[i] = api.Session{
			SessionID: of.ID, CreatedAt: of.CreatedAt.UTC(), UsedAt: of.UsedAt.UTC(), ExpiresAt: of.EndsAt.UTC(), Current: of.ID == current,
		}
		if !of.ProvedAt.IsZero() {
			at, by := of.ProvedAt.UTC(), api.SessionFactor(of.ProvedBy)
			shown[i].AuthenticatedAt, shown[i].Factor = &at, &by
		}
	}
	return shown
}

// EndSession implements api.StrictServerInterface.
func (s server) EndSession(ctx context.Context, r api.EndSessionRequestObject) (api.EndSessionResponseObject, error) {
	if err := s.Accounts.EndSession(ctx, me(ctx), r.SessionID); err != nil {
		return nil, err
	}
	return api.EndSession204Response{}, nil
}

// EndOtherSessions implements api.StrictServerInterface.
func (s server) EndOtherSessions(ctx context.Context, _ api.EndOtherSessionsRequestObject) (api.EndOtherSessionsResponseObject, error) {
	if err := s.Accounts.EndOtherSessions(ctx, me(ctx), web.Who(ctx).Session); err != nil {
		return nil, err
	}
	return api.EndOtherSessions204Response{}, nil
}

// AskReset implements api.StrictServerInterface.
func (s server) AskReset(ctx context.Context, r api.AskResetRequestObject) (api.AskResetResponseObject, error) {
	by := caller(ctx, r.Params.IdempotencyKey)
	if r.Body.DeviceToken != nil {
		by.Device = *r.Body.DeviceToken
	}
	asked, err := s.Accounts.AskReset(ctx, by, r.Body.Email)
	if err != nil {
		return nil, err
	}
	return api.AskReset202JSONResponse(shownChallenge(asked)), nil
}

// ResetPassword implements api.StrictServerInterface.
func (s server) ResetPassword(ctx context.Context, r api.ResetPasswordRequestObject) (api.ResetPasswordResponseObject, error) {
	device, err := s.Reset(ctx, caller(ctx, r.Params.IdempotencyKey), r.ChallengeID, r.Body.Code, r.Body.Password)
	if err != nil {
		return nil, err
	}
	return api.ResetPassword200JSONResponse{DeviceToken: device}, nil
}

// ChangePassword implements api.StrictServerInterface.
func (s server) ChangePassword(ctx context.Context, r api.ChangePasswordRequestObject) (api.ChangePasswordResponseObject, error) {
	who := web.Who(ctx)
	err := s.Accounts.ChangePassword(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx), who.Session, r.Body.CurrentPassword, r.Body.Password)
	if err != nil {
		return nil, err
	}
	return api.ChangePassword204Response{}, nil
}

// ShowKeys implements api.StrictServerInterface.
func (s server) ShowKeys(context.Context, api.ShowKeysRequestObject) (api.ShowKeysResponseObject, error) {
	answer := api.ShowKeys200JSONResponse{Keys: []api.PublishedKey{}}
	for _, k := range s.signer.Published() {
		answer.Keys = append(answer.Keys, api.PublishedKey{
			Kty: api.PublishedKeyKty(k.Type), Crv: api.PublishedKeyCrv(k.Curve), Kid: k.ID, Alg: api.PublishedKeyAlg(k.Algorithm),
			Use: api.PublishedKeyUse(k.Use), X: k.X,
		})
	}
	return answer, nil
}
