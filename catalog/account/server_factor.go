package account

import (
	"context"

	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
)

// FinishSignIn implements api.StrictServerInterface.
func (s server) FinishSignIn(ctx context.Context, r api.FinishSignInRequestObject) (api.FinishSignInResponseObject, error) {
	if err := notEmpty("/device_name", r.Body.DeviceName); err != nil {
		return nil, err
	}
	by := caller(ctx, r.Params.IdempotencyKey)
	if r.Body.DeviceToken != nil {
		by.Device = *r.Body.DeviceToken
	}
	if r.Body.DeviceName != nil {
		by.DeviceName = *r.Body.DeviceName
	}
	tokens, err := s.Accounts.FinishSignIn(ctx, by, r.ChallengeID, r.Body.Code)
	if err != nil {
		return nil, err
	}
	return api.FinishSignIn201JSONResponse(shownTokens(tokens)), nil
}

// StepUp implements api.StrictServerInterface.
func (s server) StepUp(ctx context.Context, r api.StepUpRequestObject) (api.StepUpResponseObject, error) {
	err := s.Accounts.StepUp(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx), web.Who(ctx).Session, r.Body.Password, r.Body.Code)
	if err != nil {
		return nil, err
	}
	return api.StepUp204Response{}, nil
}

// ShowFactor implements api.StrictServerInterface.
func (s server) ShowFactor(ctx context.Context, _ api.ShowFactorRequestObject) (api.ShowFactorResponseObject, error) {
	of, err := s.Factor(ctx, me(ctx))
	if err != nil {
		return nil, err
	}
	return api.ShowFactor200JSONResponse{Active: of.Active, RecoveryCodesLeft: of.Left}, nil
}

// BeginFactor implements api.StrictServerInterface.
func (s server) BeginFactor(ctx context.Context, r api.BeginFactorRequestObject) (api.BeginFactorResponseObject, error) {
	begun, err := s.Accounts.BeginFactor(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx))
	if err != nil {
		return nil, err
	}
	return api.BeginFactor201JSONResponse{Secret: begun.Secret, OtpauthURI: begun.URI}, nil
}

// ConfirmFactor implements api.StrictServerInterface.
func (s server) ConfirmFactor(ctx context.Context, r api.ConfirmFactorRequestObject) (api.ConfirmFactorResponseObject, error) {
	codes, err := s.Accounts.ConfirmFactor(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx), web.Who(ctx).Session, r.Body.Code)
	if err != nil {
		return nil, err
	}
	return api.ConfirmFactor200JSONResponse{RecoveryCodes: codes}, nil
}

// RemoveFactor implements api.StrictServerInterface.
func (s server) RemoveFactor(ctx context.Context, r api.RemoveFactorRequestObject) (api.RemoveFactorResponseObject, error) {
	if err := s.Accounts.RemoveFactor(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx), r.Body.Password); err != nil {
		return nil, err
	}
	return api.RemoveFactor204Response{}, nil
}

// RenewRecoveryCodes implements api.StrictServerInterface.
func (s server) RenewRecoveryCodes(ctx context.Context, r api.RenewRecoveryCodesRequestObject) (api.RenewRecoveryCodesResponseObject, error) {
	codes, err := s.Accounts.RenewRecoveryCodes(ctx, caller(ctx, r.Params.IdempotencyKey), me(ctx))
	if err != nil {
		return nil, err
	}
	return api.RenewRecoveryCodes200JSONResponse{RecoveryCodes: codes}, nil
}
