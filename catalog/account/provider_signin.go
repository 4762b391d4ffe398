package account

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"sluice/catalog/account/provider"
	"sluice/core/place"
	"sluice/core/problem"
)

var (
	unknownProvider = problem.NewKind(problem.Kind{
		Code: "unknown_provider", Status: http.StatusNotFound, Title: "Nobody signs in by such a provider here.",
	})
	providerAway = problem.NewKind(problem.Kind{
		Code: "provider_unavailable", Status: http.StatusServiceUnavailable, Retryable: true, RetryAfter: 2, Title: "The provider does not answer.",
	})
	providerBroken = problem.NewKind(problem.Kind{
		Code: "provider_failed", Status: http.StatusBadGateway, Title: "The provider answers what the shop cannot take.",
	})
	accountExists = problem.NewKind(problem.Kind{
		Code: "account_exists", Status: http.StatusConflict, Title: "An account has the address of e-mail that the provider names.",
	})
	identityTaken = problem.NewKind(problem.Kind{
		Code: "identity_taken", Status: http.StatusConflict, Title: "Another account signs in by it.",
	})

	errNoProvider     = &problem.Problem{Kind: unknownProvider}
	errProviderAway   = &problem.Problem{Kind: providerAway}
	errProviderBroken = &problem.Problem{Kind: providerBroken}
	errExists         = &problem.Problem{Kind: accountExists, Detail: "sign in to it by another way, and add the provider there"}
	errIdentityTaken  = &problem.Problem{Kind: identityTaken}
)

// Providers are those by whom people sign in.
func (a *Accounts) Providers() []*provider.Provider { return a.providers.All() }

// Begun is a sign-in that has begun at a provider.
type Begun struct {
	Flow    string // what the client keeps until somebody comes back
	Address string // to which they go
	EndsAt  time.Time
}

// BeginAtProvider begins a sign-in at a provider, or a registration. It writes nothing.
func (a *Accounts) BeginAtProvider(ctx context.Context, name string, home Home) (Begun, error) {
	if p := home.check(); p != nil {
		return Begun{}, p
	}
	return a.beginFlow(ctx, flow{Provider: name, Region: home.Region, Locale: home.Locale})
}

// BeginAdding begins to add a provider to the account of a user. The flow is of this user and session only.
func (a *Accounts) BeginAdding(ctx context.Context, who Holder, name string) (Begun, error) {
	return a.beginFlow(ctx, flow{Provider: name, User: who.User, Session: who.Session})
}

func (a *Accounts) beginFlow(ctx context.Context, f flow) (Begun, error) {
	at := a.providers.Named(f.Provider)
	if at == nil {
		return Begun{}, errNoProvider
	}
	ends := a.now().Add(flowLife)
	f.Seed, f.EndsAt = newSeed(), ends.Unix()
	address, err := at.Begin(ctx, a.secret.at(f))
	if err != nil {
		return Begun{}, ofProvider(err)
	}
	sealed, err := a.secret.sealFlow(f)
	return Begun{Flow: sealed, Address: address, EndsAt: time.Unix(f.EndsAt, 0)}, err
}

// EnterByProvider begins a session of the user whom a provider names, by the code that it has sent back. If nobody is known by it, a
// user is made who is.
func (a *Accounts) EnterByProvider(ctx context.Context, by Caller, name string, back Return) (SignedIn, error) {
	if err := by.checkDevice(); err != nil {
		return SignedIn{}, err
	}
	from, f, err := a.flowOf(name, Holder{}, back)
	if err != nil {
		return SignedIn{}, err
	}
	if err := limited(a.throttle.address.Allow(by.Address, a.now())); err != nil {
		return SignedIn{}, err
	}
	of, err := a.exchange(ctx, by, from, f, back)
	if err != nil {
		return SignedIn{}, err
	}
	k, key := a.secret.exchangeOf(f), a.secret.ofKey(by.Key)
	return a.enterBy(ctx, by, proven{
		identity: identity{user: k.user, kind: KindProvider, provider: name, index: of.index},
		value:    of.value(), email: of.Email, spent: of.spent, Home: Home{f.Region, f.Locale},
		use: func(ctx context.Context, tx *sql.Tx, p place.Place, forget bool) error {
			_, err := a.useExchange(ctx, tx, p, k, key, forget)
			return err
		},
	})
}

// isNew refuses to make another account for an address that has one. The address lets nobody in: a provider that lies would take the
// account over. Who asks has shown to the provider that the address is theirs, so it tells no stranger who has an account.
func (a *Accounts) isNew(ctx context.Context, email Email) error {
	if email == "" {
		return nil
	}
	index := a.index(email)
	owner, err := a.owner(ctx, index)
	if err != nil || owner == 0 {
		return err
	}
	p := a.at(owner)
	err = a.holds(ctx, p.In(p.Writer()), owner, index)
	switch {
	case errors.Is(err, errNotHeld): // it is only claimed
		return nil
	case err != nil:
		return err
	}
	return errExists
}

// AddProvider gives a user another way to sign in: the account at a provider that has sent back a code.
func (a *Accounts) AddProvider(ctx context.Context, by Caller, who Holder, name string, back Return) (Identity, error) {
	from, f, err := a.flowOf(name, who, back)
	if err != nil {
		return Identity{}, err
	}
	if err := limited(a.throttle.address.Allow(by.Address, a.now())); err != nil {
		return Identity{}, err
	}
	of, err := a.exchange(ctx, by, from, f, back)
	if err != nil {
		return Identity{}, err
	}
	k, key := a.secret.exchangeOf(f), a.secret.ofKey(by.Key)
	added, err := a.add(ctx, who, addition{
		identity: identity{user: who.User, kind: KindProvider, provider: name, index: of.index}, value: of.value(),
		use: func(tx *sql.Tx, p place.Place) (bool, error) { return a.useExchange(ctx, tx, p, k, key, true) },
	})
	if errors.Is(err, errTaken) {
		err = errIdentityTaken
	}
	return added, err
}
