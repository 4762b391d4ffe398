package api

import (
	"context"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/lifecycle"
	"sluice/core/problem"
	"sluice/core/registry"
	"sluice/core/show"
)

// Registrations registers users for sales.
type Registrations interface {
	Register(ctx context.Context, sale uint32, users []int64) (registry.Result, error)
}

// Registered knows users who are not registered for a sale. A false of May is certain.
type Registered interface {
	May(sale uint32, user int64) bool
	Missed(sale uint32, user int64) // Redis does not know a user who may be registered
}

var adminsOrServices = roleSet(auth.RoleAdmin, auth.RoleService)

// registered is the answer to a registration.
type registered struct {
	Sale       show.ID `json:"sale_id"`
	Added      int64   `json:"added"`
	Registered int64   `json:"registered"`
}

// register registers users for a sale. It answers when every edge knows them. It knows a repetition by the users, not
// by the key.
func (a *API) register(r *request) error {
	b, _, err := keyedBody[registerBody](a, r, adminsOrServices)
	if err != nil {
		return err
	}
	id, err := knownSaleID(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	done, err := a.Registrations.Register(ctx, id, b.Users)
	if err != nil {
		return problemOfSale(err)
	}
	if !lifecycle.Pause(ctx, registry.Spread) {
		return &problem.Problem{Kind: problem.OutcomeUnknown}
	}
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], registered{show.ID(id), done.Added, done.Registered}))
	return nil
}
