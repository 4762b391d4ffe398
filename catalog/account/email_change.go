package account

import (
	"context"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
)

// Nobody signs in by an address without a password, so who has none chooses it with the first address. Another address keeps the password.
var (
	errHasPassword = &problem.Problem{Kind: problem.WrongState, Detail: "the user has a password: change it by PUT /v1/me/password"}
	errHasNone     = &problem.Problem{Kind: problem.WrongState, Detail: "the user has no password: ask for a code with one"}
)

// passwordFault refuses a password of who has one, or the lack of one.
func passwordFault(has bool) error {
	if has {
		return errHasPassword
	}
	return errHasNone
}

// AskSetEmail sends a code to an address that a user wants to have. The caller is told the same whoever has the address.
func (a *Accounts) AskSetEmail(ctx context.Context, by Caller, user ids.User, address string, chosen *string) (Asked, error) {
	email, err := ReadEmail(address)
	if err != nil {
		return Asked{}, malformed("/email", err.Error())
	}
	of, err := a.credentialOf(ctx, user)
	switch {
	case err != nil:
		return Asked{}, err
	case of.known == (chosen != nil):
		return Asked{}, passwordFault(of.known)
	}
	index := a.index(email)
	c := &challenge{purpose: purposeSetEmail, seed: newSeed(), index: index, value: string(email)}
	c.user = user
	c.nonce = sumOf(a.secret.draws, []byte(purposeSetEmail), number(user), index[:], []byte(by.Key)).positive()
	if chosen != nil {
		next, err := newPassword(*chosen, email)
		if err != nil {
			return Asked{}, err
		}
		salt := sumOf(a.secret.draws, []byte("salt"), number(user), number(c.nonce)) // a repetition has the same hash, and is known by it
		if c.password, err = a.hasher.Hash(ctx, next, [16]byte(salt[:16])); err != nil {
			return Asked{}, err
		}
	}
	if err := a.mayAsk(ctx, by, KindEmail, string(email), index, false); err != nil {
		return Asked{}, err
	}
	its, err := a.User(ctx, user, db.Never)
	if err != nil {
		return Asked{}, err
	}
	return a.ask(ctx, c, Message{Template: templateVerify, Locale: its.Locale, By: KindEmail, To: string(email)})
}

// SetEmail gives a user the address that a code was sent to, in the place of the one that the user has. The old address is told of it,
// and so is the number.
func (a *Accounts) SetEmail(ctx context.Context, by Caller, who Holder, handle, code string) (Identity, error) {
	return a.set(ctx, by, who, purposeSetEmail, KindEmail, handle, code)
}
