package account

import (
	"context"

	"sluice/catalog/internal/vault"
	"sluice/core/ids"
)

// What is personal of a user is sealed in the vault, under the user's key. Who is no user has no key: what somebody registers with, or
// asks for a code with, is sealed under the shop's secret, until it is used or over.

// factorField is where the secret of a second factor is.
var factorField = vault.Field{Table: "factors", Column: "secret"}

func identityField(claim ids.Identity) vault.Field {
	return vault.Field{Table: "identities", Column: "value", Row: int64(claim)}
}

func signInField(id int64) vault.Field {
	return vault.Field{Table: "sign_ins", Column: "origin", Row: id}
}

func challengeField(nonce int64) vault.Field {
	return vault.Field{Table: "challenges", Column: "value", Row: nonce}
}

// ofUser reports whether the value of a challenge is one of a user, who has asked for the code.
func (of purpose) ofUser() bool {
	switch of {
	case purposeSetPhone, purposeSetEmail, purposeLink:
		return true
	case purposeRegister, purposePhone, purposeProvider, purposeReset, purposeSignIn:
	}
	return false
}

// sealChallenge encrypts the value of a challenge: that of a user under the user's key, another one under the secret.
func (a *Accounts) sealChallenge(ctx context.Context, k challengeKey, of purpose, value []byte) ([]byte, error) {
	if !of.ofUser() {
		return a.secret.seal(k.user, "challenge "+string(of), value), nil
	}
	box, err := a.personal.Box(ctx, int64(k.user))
	if err != nil {
		return nil, erased(err)
	}
	return box.Seal(challengeField(k.nonce), value)
}

// openChallenge decrypts the value of a challenge, which was read with its user's key. One that was used, or is over, has none.
func (a *Accounts) openChallenge(k challengeKey, of purpose, sealed []byte, key vault.Key) ([]byte, error) {
	switch {
	case len(sealed) == 0:
		return nil, nil
	case !of.ofUser():
		return a.secret.open(k.user, "challenge "+string(of), sealed)
	}
	box, err := a.personal.Adopt(int64(k.user), key)
	if err != nil {
		return nil, erased(err)
	}
	return box.Open(challengeField(k.nonce), sealed)
}

// email is the address of a user who has one, as its owner wrote it.
func (c credential) email() (Email, error) {
	text, err := c.box.Open(identityField(c.claim), c.sealed)
	return Email(text), err
}
