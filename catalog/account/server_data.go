package account

import (
	"context"
	"net/http"

	"sluice/catalog/account/internal/api"
	"sluice/catalog/internal/web"
	"sluice/core/db"
)

// ShowMyData implements api.StrictServerInterface.
func (s server) ShowMyData(ctx context.Context, _ api.ShowMyDataRequestObject) (api.ShowMyDataResponseObject, error) {
	id := me(ctx)
	user, err := s.User(ctx, id, db.Never)
	if err != nil {
		return nil, err
	}
	profile, _, err := s.Profile(ctx, id)
	if err != nil {
		return nil, err
	}
	addresses, err := s.Addresses(ctx, id, 1, AddressesMax)
	if err != nil {
		return nil, err
	}
	consents, err := s.Consents(ctx, id, latest, consentsMax+len(purposes))
	if err != nil {
		return nil, err
	}
	identities, err := s.Identities(ctx, id)
	if err != nil {
		return nil, err
	}
	sessions, err := s.Sessions(ctx, id)
	if err != nil {
		return nil, err
	}
	return replied(answerOf(http.StatusOK, unversioned, struct {
		User       api.User       `json:"user"`
		Identities []Identity     `json:"identities"`
		Profile    Profile        `json:"profile"`
		Addresses  []KeptAddress  `json:"addresses"`
		Consents   []consentShown `json:"consents"`
		Sessions   []api.Session  `json:"sessions"`
	}{shown(user), identities, profile, addresses, shownConsents(consents), shownSessions(sessions, web.Who(ctx).Session)}))
}

// EraseMe implements api.StrictServerInterface. Repeating it is a success under any key, unless the token is
// of a session: that has ended. So nothing is kept.
func (s server) EraseMe(ctx context.Context, r api.EraseMeRequestObject) (api.EraseMeResponseObject, error) {
	if r.Body.Confirm != "erase" {
		return nil, web.Malformed("/confirm", "want erase")
	}
	if who := web.Who(ctx); who.Session != 0 { // a shop with accounts of its own has other ways to be sure
		if err := s.Proved(ctx, who); err != nil {
			return nil, err
		}
	}
	if err := s.Erase(ctx, me(ctx)); err != nil {
		return nil, err
	}
	return reply{Status: http.StatusNoContent}, nil
}
