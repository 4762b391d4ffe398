package account

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/stock"
)

// A sign-in of who has a second factor has two requests. The first one, with the password, gives no tokens: it writes a challenge,
// which names the password by a mark. The second one answers it by a code. So a new password between the two ends the sign-in, and who
// does not know the password has no challenge to guess at.

// mark stands for a hash of a password in a challenge.
func (s *Secret) mark(hash string) string {
	of := sumOf(s.keys, []byte("password"), []byte(hash))
	return hex.EncodeToString(of[:])
}

// askSecond writes the challenge of a sign-in. A repetition of the request finds the first one.
func (a *Accounts) askSecond(ctx context.Context, by Caller, of credential, renewed string) (Asked, error) {
	k := challengeKey{of.user, sumOf(a.secret.draws, []byte(purposeSignIn), number(of.user), []byte(by.Key)).positive()}
	p, from, none := a.at(of.user), newSeed(), Index{}
	mark := a.secret.mark(cmp.Or(renewed, of.hash))
	_, err := p.Write(ctx, "challenge", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, of.user)
		switch {
		case err != nil:
			return err
		case held.hash != of.hash || held.email != of.index || held.second != of.second:
			return errChanged
		case held.state != StateActive:
			return errLocked
		}
		if renewed != "" {
			if _, err := in.ExecContext(ctx, renewHash, renewed, of.user, of.hash); err != nil {
				return db.WriteError("renew hash", err)
			}
		}
		_, err = in.ExecContext(ctx, insertChallenge, k.user, k.nonce, purposeSignIn, false, from[:], none[:], []byte{},
			mark, "", "", int64(challengeLife/time.Second))
		return writeError("write challenge", err)
	})
	if err != nil && db.Answer(err) != db.AnswerDuplicate {
		return Asked{}, err
	}
	first, ends, err := a.challenge(ctx, p.In(p.Writer()), p, k)
	switch {
	case errors.Is(err, sql.ErrNoRows): // it was swept meanwhile
		return Asked{}, fmt.Errorf("read challenge: %w: %w", stock.ErrNotApplied, err)
	case err != nil:
		return Asked{}, err
	case first.password != mark: // of an older password
		return Asked{}, errSpent
	}
	return Asked{a.secret.handle(k), ends}, nil
}

// FinishSignIn begins the session of a sign-in by a code of the second factor. Whatever is wrong with it, the refusal is the same.
func (a *Accounts) FinishSignIn(ctx context.Context, by Caller, handle, text string) (Tokens, error) {
	code, err := readFactorCode(text)
	if err != nil {
		return Tokens{}, malformed("/code", err.Error())
	}
	if err := by.checkDevice(); err != nil {
		return Tokens{}, err
	}
	k, ok := a.secret.ofHandle(handle)
	if !ok {
		return Tokens{}, errCode
	}
	p := a.at(k.user)
	request := a.secret.request(k.user, "sign in", code, by.Key)
	c, counts, err := a.tried(ctx, p, k, purposeSignIn)
	if err != nil {
		return Tokens{}, err
	}
	first, may := c.mayUse(request)
	id, from := a.secret.drawSecondSession(k, by.Key), newSeed()
	if !may || first && !counts {
		return Tokens{}, errCode
	}
	a.step("answered")
	of, err := a.credentialOf(ctx, k.user)
	switch {
	case err != nil:
		return Tokens{}, err
	case !first:
		return a.again(ctx, of, id)
	case !of.keyed: // the user was erased meanwhile
		return Tokens{}, errCode
	}
	// Only who knows the password has such a challenge: what strangers do with others counts for nobody.
	tries := userKey(k.user)
	if a.secret.knows(of, by.Device) {
		tries = deviceKey(by.Device)
	}
	if err := a.throttle.code(tries, k.user, by.Address, a.now()); err != nil {
		return Tokens{}, err
	}
	origin, err := of.origin(by)
	if err != nil {
		return Tokens{}, err
	}
	a.step("tried")
	_, err = p.Write(ctx, "session", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, k.user)
		if err != nil {
			return err
		}
		if first, err = a.use(ctx, tx, p, c, request); err != nil || !first {
			return err
		}
		f, err := a.factor(ctx, in, p, k.user)
		if err != nil {
			return err
		}
		shown, ok := a.secret.proves(f, code, a.now())
		switch {
		case !ok || !f.active || a.secret.mark(held.hash) != c.password: // what a new password ends, no old one begins
			return errCode
		case held.state != StateActive:
			return errLocked
		}
		if err := a.spend(ctx, tx, p, of, shown, request); err != nil {
			return err
		}
		return a.write(ctx, tx, p, newSession{of: of, id: id, seed: from, provedBy: shown.by(), by: by, origin: origin, settled: held.settled})
	})
	switch {
	case errors.Is(err, errCode):
		a.noteRefusal(ctx, k.user, origin)
		return Tokens{}, errCode
	case err != nil:
		return Tokens{}, err
	case !first: // the same request was first after all
		return a.again(ctx, of, id)
	}
	return a.tokens(refreshToken{k.user, id, 1}, from, a.secret.device(of))
}

// drawSecondSession draws the id of a session that a second factor begins.
func (s *Secret) drawSecondSession(k challengeKey, key string) ids.Session {
	return ids.Session(sumOf(s.draws, []byte("second session"), number(k.user), number(k.nonce), []byte(key)).positive())
}

// again returns the tokens of a session that the same request has begun, until it was refreshed.
func (a *Accounts) again(ctx context.Context, of credential, id ids.Session) (Tokens, error) {
	s, err := a.session(ctx, of.user, id)
	if err == nil && (s.over || s.generation != 1) {
		err = errSpent
	}
	if err != nil {
		return Tokens{}, err
	}
	return a.tokens(refreshToken{of.user, id, 1}, s.seed, a.secret.device(of))
}
