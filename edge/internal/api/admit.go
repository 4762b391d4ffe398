package api

import (
	"sluice/core/auth"
	"sluice/core/limit"
	"sluice/core/problem"
)

// roles is a set of roles.
type roles uint8

func roleSet(list ...auth.Role) (set roles) {
	for _, role := range list {
		set |= 1 << role
	}
	return set
}

var (
	admins             = roleSet(auth.RoleAdmin)
	services           = roleSet(auth.RoleService)
	shoppersOrServices = roleSet(auth.RoleShopper, auth.RoleService)
)

var errNoToken = &problem.Problem{Kind: problem.Unauthorized, Detail: "want an Authorization header with a bearer token"}

// admit lets bearers of a token with one of the roles pass, within their limits.
func (a *API) admit(r *request, may roles) error {
	seen, err := a.count(r)
	if err != nil {
		return err
	}
	if !seen {
		token := r.head.bearer()
		if token == nil {
			return errNoToken
		}
		if r.who, err = a.Tokens.Verify(token, r.now); err != nil {
			return &problem.Problem{Kind: problem.Unauthorized, Detail: err.Error()}
		}
		if err := a.admitUser(r); err != nil {
			return err
		}
	}
	if may&(1<<r.who.Role) == 0 {
		return errForbidden
	}
	return r.admitScope()
}

// admitScope refuses a service whose token is narrowed to something else.
func (r *request) admitScope() error {
	switch {
	case r.ctx.IsGet() || r.ctx.IsHead():
		if !r.who.Scopes.Allow(auth.ScopeStockRead) {
			return errNotToRead
		}
	case !r.who.Scopes.Allow(auth.ScopeStockWrite):
		return errNotToWrite
	}
	return nil
}

// count counts a request against its limits, before anybody checks a signature. It reports whether its token was seen
// before, so that its bearer is known. A shopper's own limit comes first, so that a request that it refuses takes nothing
// from the others behind the same address. Services and admins have no limits of their own.
func (a *API) count(r *request) (seen bool, err error) {
	r.counted = true
	if token := r.head.bearer(); token != nil {
		r.who, seen = a.Tokens.Cached(token, r.now)
	}
	if seen {
		if r.who.Role != auth.RoleShopper {
			return true, nil
		}
		if err := a.admitUser(r); err != nil {
			return true, err
		}
	}
	return seen, a.admitAddress(r)
}

// admitUser lets a shopper pass within its limit.
func (a *API) admitUser(r *request) error {
	if a.Users == nil || r.who.Role != auth.RoleShopper {
		return nil
	}
	r.userAllowance = a.Users.Allow(r.who.Subject, r.now)
	return limited(r.userAllowance)
}

// admitAddress lets a client pass within the limit of its address.
func (a *API) admitAddress(r *request) error {
	r.counted = true
	if a.Addresses == nil {
		return nil
	}
	r.client = a.clientOf(r)
	r.addressAllowance = a.Addresses.Allow(r.client, r.now)
	return limited(r.addressAllowance)
}

func limited(a limit.Allowance) error {
	if a.OK {
		return nil
	}
	return &problem.Problem{Kind: problem.RateLimited, RetryAfter: a.RetryAfter}
}
