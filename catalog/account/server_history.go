package account

import (
	"context"

	"sluice/catalog/account/internal/api"
)

// ListSignIns implements api.StrictServerInterface.
func (s server) ListSignIns(ctx context.Context, _ api.ListSignInsRequestObject) (api.ListSignInsResponseObject, error) {
	all, err := s.SignIns(ctx, me(ctx))
	if err != nil {
		return nil, err
	}
	answer := api.ListSignIns200JSONResponse{Data: []api.SignInMade{}}
	for _, of := range all {
		shown := api.SignInMade{At: of.At.UTC(), Network: of.Network, Outcome: api.SignInMadeOutcome(of.Outcome)}
		if of.Device != "" {
			shown.DeviceName = &of.Device
		}
		if of.By != "" {
			by := api.SignInMadeFactor(of.By)
			shown.Factor = &by
		}
		if of.Session != 0 {
			shown.SessionID = &of.Session
		}
		answer.Data = append(answer.Data, shown)
	}
	return answer, nil
}
