package account

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/catalog/account/internal/password"
	"sluice/catalog/internal/vault"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	selectFactor = "SELECT f.secret, f.active, f.used_step, f.codes, f.codes_used, f.made_by, f.made_at > NOW(3) - INTERVAL ? SECOND, k.key_id, k.wrapped " +
		"FROM factors__ f LEFT JOIN account_keys__ k ON k.subject_id = f.user_id WHERE f.user_id = ?"
	beginFactor = "INSERT INTO factors__ (user_id, secret, codes, made_by, made_at) VALUES (?, ?, ?, ?, NOW(3)) " +
		"ON DUPLICATE KEY UPDATE secret = VALUES(secret), codes = VALUES(codes), made_by = VALUES(made_by), made_at = NOW(3), used_step = 0, codes_used = 0"
	activateFactor = "UPDATE factors__ SET active = TRUE, used_step = ?, made_by = ?, made_at = NOW(3) WHERE user_id = ?"
	renewCodes     = "UPDATE factors__ SET codes = ?, codes_used = 0, made_by = ? WHERE user_id = ? AND active"
	removeFactor   = "DELETE FROM factors__ WHERE user_id = ? AND active"
	spendStep      = "UPDATE factors__ SET used_step = ? WHERE user_id = ? AND active AND used_step < ?"
	spendRecovery  = "UPDATE factors__ SET codes_used = codes_used | ? WHERE user_id = ? AND active AND codes_used & ? = 0"
	// A secret whose first code never came goes after a day.
	sweepFactors = "DELETE FROM factors__ WHERE active = FALSE AND made_at <= NOW(3) - INTERVAL 1 DAY LIMIT ?"
)

var (
	errFactorActive = &problem.Problem{Kind: problem.WrongState, Detail: "the user has a second factor: remove it first"}
	errFactorNone   = &problem.Problem{Kind: problem.WrongState, Detail: "no second factor has begun, or its time is over: begin again"}
)

// factor reads the second factor of a user.
func (a *Accounts) factor(ctx context.Context, in place.Conn, p place.Place, user ids.User) (*factor, error) {
	f := &factor{user: user}
	var sealed, codes, madeBy []byte
	var key vault.Key
	err := in.QueryRowContext(ctx, selectFactor, int64(beginFor/time.Second), user).
		Scan(&sealed, &f.active, &f.used, &codes, &f.spent, &madeBy, &f.recent, &key.By, &key.Wrapped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return f, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("second factor", "factors"+p.Suffix, err))
	}
	box, err := a.personal.Adopt(int64(user), key)
	if err != nil {
		return nil, erased(err)
	}
	secret, err := box.Open(factorField, sealed)
	if err != nil {
		return nil, err
	}
	copy(f.secret[:], secret)
	copy(f.codes[:], codes)
	copy(f.madeBy[:], madeBy)
	f.there = true
	return f, nil
}

// madeBy reports whether a request made what the row has: then this is its repetition.
func (f *factor) isOf(request sum) bool {
	return f.there && subtle.ConstantTimeCompare(f.madeBy[:], request[:]) == 1
}

// request stands for a request of a user in tables: an act, what it came with, and its Idempotency-Key.
func (s *Secret) request(user ids.User, act, with, key string) sum {
	return sumOf(s.keys, []byte(act), number(user), []byte(with), []byte(key))
}

// Factor says whether a user has a second factor, and how many recovery codes are left.
type Factor struct {
	Active bool
	Left   int
}

// Factor shows the second factor of a user.
func (a *Accounts) Factor(ctx context.Context, user ids.User) (Factor, error) {
	p := a.at(user)
	f, err := a.factor(ctx, p.In(p.Writer()), p, user)
	if err != nil || !f.active {
		return Factor{}, err
	}
	return Factor{true, f.left()}, nil
}

// BegunFactor is a secret for an app, which is told once.
type BegunFactor struct{ Secret, URI string }

// BeginFactor draws a secret for an app. It is of no use until ConfirmFactor, and another one replaces it.
func (a *Accounts) BeginFactor(ctx context.Context, by Caller, user ids.User) (BegunFactor, error) {
	of, err := a.credentialOf(ctx, user)
	if err != nil {
		return BegunFactor{}, err
	}
	if !of.known {
		return BegunFactor{}, errNoPassword
	}
	email, err := of.email()
	if err != nil {
		return BegunFactor{}, err
	}
	request, secret, codes := a.secret.request(user, "begin", "", by.Key), newFactorSecret(), newSeed()
	sealed, err := of.box.Seal(factorField, secret[:])
	if err != nil {
		return BegunFactor{}, err
	}
	p := a.at(user)
	_, err = p.Write(ctx, "second factor", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, user)
		if err == nil {
			err = may(held.state)
		}
		if err != nil {
			return err
		}
		f, err := a.factor(ctx, in, p, user)
		switch {
		case err != nil:
			return err
		case f.active:
			return errFactorActive
		case f.isOf(request):
			secret = f.secret
			return nil
		}
		_, err = in.ExecContext(ctx, beginFactor, user, sealed, codes[:], request[:])
		return writeError("begin second factor", err)
	})
	if err != nil {
		return BegunFactor{}, err
	}
	uri, err := secret.uri(a.shop, string(email))
	return BegunFactor{secret.text(), uri}, err
}

// writeError is db.WriteError of an error, or nil.
func writeError(what string, err error) error {
	if err != nil {
		return db.WriteError(what, err)
	}
	return nil
}

// ConfirmFactor makes a second factor count, by its first code, and returns the recovery codes. The session is proved by it.
func (a *Accounts) ConfirmFactor(ctx context.Context, by Caller, user ids.User, session ids.Session, text string) ([]string, error) {
	code, err := readFactorCode(text)
	if err != nil {
		return nil, malformed("/code", err.Error())
	}
	if err := a.throttle.code(sessionKey(user, session), user, by.Address, a.now()); err != nil {
		return nil, err
	}
	of, err := a.credentialOf(ctx, user)
	if err != nil {
		return nil, err
	}
	request := a.secret.request(user, "confirm", code, by.Key)
	p := a.at(user)
	var all []string
	_, err = p.Write(ctx, "second factor", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, user)
		if err != nil {
			return err
		}
		f, err := a.factor(ctx, in, p, user)
		if err != nil {
			return err
		}
		all = a.secret.recoveryCodes(f)
		switch {
		case f.active && f.isOf(request):
			return nil
		case f.active:
			return errFactorActive
		case !f.there || !f.recent || held.hash == "": // the address of e-mail may have gone meanwhile
			return errFactorNone
		}
		shown, ok := a.secret.proves(f, code, a.now())
		if !ok || shown.recovery {
			return errCode
		}
		if _, err := in.ExecContext(ctx, activateFactor, shown.step, request[:], user); err != nil {
			return db.WriteError("write second factor", err)
		}
		if err := a.prove(ctx, in, user, session, provedByTOTP, request); err != nil && !errors.Is(err, errNoSession) {
			return err // a token without a session may have a second factor too
		}
		return a.notice(ctx, tx, p, of, templateFactorSet, request)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// RenewRecoveryCodes returns new recovery codes. The old ones count no more.
func (a *Accounts) RenewRecoveryCodes(ctx context.Context, by Caller, user ids.User) ([]string, error) {
	request, codes := a.secret.request(user, "renew", "", by.Key), newSeed()
	p := a.at(user)
	var all []string
	_, err := p.Write(ctx, "recovery codes", func(tx *sql.Tx) error {
		in := p.In(tx)
		if _, err := lock(ctx, in, user); err != nil {
			return err
		}
		f, err := a.factor(ctx, in, p, user)
		switch {
		case err != nil:
			return err
		case !f.active:
			return errFactorNone
		}
		if !f.isOf(request) {
			f.codes = codes
			if _, err := in.ExecContext(ctx, renewCodes, codes[:], request[:], user); err != nil {
				return db.WriteError("write recovery codes", err)
			}
		}
		all = a.secret.recoveryCodes(f)
		return nil
	})
	return all, err
}

// RemoveFactor removes the second factor of a user, who knows the password. That there is none is a success.
func (a *Accounts) RemoveFactor(ctx context.Context, by Caller, user ids.User, text string) error {
	of, err := a.knows(ctx, by, user, text)
	if err != nil {
		return err
	}
	p := a.at(user)
	_, err = p.Write(ctx, "second factor", func(tx *sql.Tx) error {
		in := p.In(tx)
		if _, err := lock(ctx, in, user); err != nil {
			return err
		}
		f, err := a.factor(ctx, in, p, user)
		if err != nil || !f.active {
			return err
		}
		if _, err := in.ExecContext(ctx, removeFactor, user); err != nil {
			return db.WriteError("remove second factor", err)
		}
		return a.notice(ctx, tx, p, of, templateFactorRemoved, sumOf(a.secret.draws, f.codes[:], f.madeBy[:]))
	})
	return err
}

// knows returns the credential of a user who knows the password.
func (a *Accounts) knows(ctx context.Context, by Caller, user ids.User, text string) (credential, error) {
	given, err := password.Read(text)
	if err != nil {
		return credential{}, errCredentials
	}
	of, err := a.credentialOf(ctx, user)
	switch {
	case err != nil:
		return of, err
	case !of.known:
		return of, errNoPassword
	}
	if err := a.throttle.try(of.index, by.Address, true, a.now()); err != nil {
		return of, err
	}
	right, err := a.hasher.Verify(ctx, given, of.hash)
	if err == nil && !right {
		err = errCredentials
	}
	return of, err
}

// notice tells a user by e-mail what has happened, once.
func (a *Accounts) notice(ctx context.Context, tx *sql.Tx, p place.Place, of credential, template string, once sum) error {
	email, err := of.email()
	if err != nil {
		return err
	}
	return a.messenger.Add(ctx, tx, p, Message{
		Event: "factor-" + ids.Event(once.positive()).String(), User: of.user, Template: template, Locale: of.locale, By: KindEmail, To: string(email),
		Values: map[string]string{"at": a.now().UTC().Format(time.RFC3339)},
	})
}

// spend uses up what a code has shown. Of two requests with one code, the second is refused.
func (a *Accounts) spend(ctx context.Context, tx *sql.Tx, p place.Place, of credential, shown proof, once sum) error {
	statement, value := spendStep, shown.step
	if shown.recovery {
		statement, value = spendRecovery, int64(1)<<shown.number
	}
	done, err := p.In(tx).ExecContext(ctx, statement, value, of.user, value)
	if err != nil {
		return db.WriteError("use a code", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errCode, err)
	}
	if shown.recovery {
		return a.notice(ctx, tx, p, of, templateRecovery, once)
	}
	return nil
}
