package account

import (
	"context"
	"database/sql"

	"sluice/core/ids"
	"sluice/core/place"
)

// PhoneRegistration is what somebody signs in with by phone, and becomes a user with if nobody has the number.
type PhoneRegistration struct {
	Phone   string
	Country string // whose form the number is in, or empty
	Device  string // a device token, or empty
	Home
}

// AskPhone sends a code to a number, by which its owner signs in, or becomes a user. The caller is told the same in both cases, and
// the code is the same.
func (a *Accounts) AskPhone(ctx context.Context, by Caller, r PhoneRegistration) (Asked, error) {
	if p := r.check(); p != nil {
		return Asked{}, p
	}
	phone, err := readPhone(r.Phone, r.Country)
	if err != nil {
		return Asked{}, err
	}
	if len(r.Device) > deviceBytesMax {
		return Asked{}, errDevice
	}
	index := a.secret.index(KindPhone, string(phone))
	held, err := a.claimed(ctx, index)
	if err != nil {
		return Asked{}, err
	}
	if held.user == 0 {
		held.user = a.secret.nobody(index)
	}
	of, err := a.credentialOf(ctx, held.user)
	if err != nil {
		return Asked{}, err
	}
	if err := a.mayAsk(ctx, by, KindPhone, string(phone), index, a.secret.knows(of, r.Device)); err != nil {
		return Asked{}, err
	}
	c := &challenge{purpose: purposePhone, seed: newSeed(), index: index, value: string(phone), Home: r.Home}
	if held.final {
		c.value = "" // it is a user's, who may be erased
	}
	c.user = a.secret.drawUser(index, r.Home, by.Key)
	c.nonce = sumOf(a.secret.draws, []byte(purposePhone), number(c.user)).positive()
	return a.ask(ctx, c, Message{Template: templatePhone, Locale: r.Locale, By: KindPhone, To: string(phone)})
}

// EnterByPhone begins a session of the user who has a number, by the code that was sent to it. If nobody has it, a user is made who
// does.
func (a *Accounts) EnterByPhone(ctx context.Context, by Caller, handle, code string) (SignedIn, error) {
	if err := by.checkDevice(); err != nil {
		return SignedIn{}, err
	}
	key := a.secret.ofKey(by.Key)
	c, err := a.answered(ctx, purposePhone, handle, code, key)
	if err != nil {
		return SignedIn{}, err
	}
	return a.enterBy(ctx, by, proven{
		identity: identity{user: c.user, kind: KindPhone, index: c.index}, value: c.value, spent: c.value == "", Home: c.Home,
		use: func(ctx context.Context, tx *sql.Tx, p place.Place, forget bool) error {
			_, err := a.useOnce(ctx, tx, p, c, key, forget)
			return err
		},
	})
}

// AskSetPhone sends a code to a number that a user wants to sign in with.
func (a *Accounts) AskSetPhone(ctx context.Context, by Caller, user ids.User, text, country string) (Asked, error) {
	phone, err := readPhone(text, country)
	if err != nil {
		return Asked{}, err
	}
	index := a.secret.index(KindPhone, string(phone))
	if err := a.mayAsk(ctx, by, KindPhone, string(phone), index, false); err != nil {
		return Asked{}, err
	}
	of, err := a.credentialOf(ctx, user)
	switch {
	case err != nil:
		return Asked{}, err
	case of.state == "": // a token may be of a user whom the shop does not know
		return Asked{}, errUnknown
	}
	c := &challenge{purpose: purposeSetPhone, seed: newSeed(), index: index, value: string(phone)}
	c.user = user
	c.nonce = sumOf(a.secret.draws, []byte(purposeSetPhone), number(user), index[:], []byte(by.Key)).positive()
	return a.ask(ctx, c, Message{Template: templatePhone, Locale: of.locale, By: KindPhone, To: string(phone)})
}

// SetPhone gives a user the number that a code was sent to, in the place of the one that the user has. The old number is told of it,
// and so is the address of e-mail.
func (a *Accounts) SetPhone(ctx context.Context, by Caller, who Holder, handle, code string) (Identity, error) {
	return a.set(ctx, by, who, purposeSetPhone, KindPhone, handle, code)
}
