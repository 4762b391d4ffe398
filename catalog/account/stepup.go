package account

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

// A session has been proved when it began, and is again by a step up. What a stolen token must not be enough for asks for a session
// that was proved within provedFor. Who has a second factor proves it by that.
const (
	provedFor = 5 * time.Minute

	provedByPassword = "password"
	provedByIdentity = "identity" // a phone, or an account at a provider
	provedByTOTP     = "totp"
	provedByRecovery = "recovery"

	proveSession = "UPDATE sessions__ SET proved_at = NOW(3), proved_by = ?, proof = ? WHERE user_id = ? AND session_id = ? AND ends_at > NOW(3)"
	selectProved = "SELECT COALESCE(s.proved_at > NOW(3) - INTERVAL ? SECOND, FALSE), COALESCE(s.proved_by, ''), COALESCE(f.active, FALSE) " +
		"FROM sessions__ s LEFT JOIN factors__ f ON f.user_id = s.user_id WHERE s.user_id = ? AND s.session_id = ? AND s.ends_at > NOW(3)"
	selectProof = "SELECT proof FROM sessions__ WHERE user_id = ? AND session_id = ? AND ends_at > NOW(3)"
)

var (
	errProve       = &problem.Problem{Kind: web.StepUpRequired, Detail: "prove it by POST /v1/me/step_up with the password, and repeat this within 5 minutes"}
	errProveFactor = &problem.Problem{Kind: web.StepUpRequired, Detail: "prove it by POST /v1/me/step_up with a code of the second factor, and repeat this within 5 minutes"}
	errWantCode    = &problem.Problem{Kind: problem.WrongState, Detail: "the user has a second factor: want a code of it, and no password"}
	errWantNoCode  = &problem.Problem{Kind: problem.WrongState, Detail: "the user has no second factor: want the password"}
	errWantOne     = malformed("", "want either password or code")
)

// Proved refuses a session that its user has not proved lately, by the factor that counts. It is for web.Config.
func (a *Accounts) Proved(ctx context.Context, who auth.Identity) error {
	user := ids.User(who.Subject)
	p := a.at(user)
	var recent, active bool
	var by string
	err := p.In(p.Writer()).QueryRowContext(ctx, selectProved, int64(provedFor/time.Second), user, int64(who.Session)).Scan(&recent, &by, &active)
	switch {
	case errors.Is(err, sql.ErrNoRows): // the token is of no session, or of one that has ended
		return errProve
	case err != nil:
		return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("session", "sessions"+p.Suffix, err))
	case active && (!recent || by == provedByPassword || by == provedByIdentity):
		return errProveFactor
	case !recent:
		return errProve
	}
	return nil
}

// stays refuses a session that has ended since its request began, under the user's lock: who ends the sessions of a thief also ends what
// they have under way. A caller of no session is none that a route lets so far.
func (a *Accounts) stays(ctx context.Context, in place.Conn, who Holder) error {
	if who.Session == 0 {
		return nil
	}
	err := in.QueryRowContext(ctx, selectProof, who.User, int64(who.Session)).Scan(new([]byte))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errProve
	case err != nil:
		return db.WriteError("read session", err)
	}
	return nil
}

// prove notes that a session was proved.
func (a *Accounts) prove(ctx context.Context, in place.Conn, user ids.User, session ids.Session, by string, request sum) error {
	done, err := in.ExecContext(ctx, proveSession, by, request[:], user, int64(session))
	if err != nil {
		return db.WriteError("write session", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errNoSession, err)
	}
	return nil
}

// StepUp proves a session again: by the password, or by a code of the second factor if the user has one.
func (a *Accounts) StepUp(ctx context.Context, by Caller, user ids.User, session ids.Session, password, code *string) error {
	switch {
	case (password == nil) == (code == nil):
		return errWantOne
	case password != nil:
		return a.stepUpPassword(ctx, by, user, session, *password)
	}
	return a.stepUpCode(ctx, by, user, session, *code)
}

func (a *Accounts) stepUpPassword(ctx context.Context, by Caller, user ids.User, session ids.Session, text string) error {
	of, err := a.knows(ctx, by, user, text)
	switch {
	case err != nil:
		return err
	case of.second:
		return errWantCode
	}
	p := a.at(user)
	return a.prove(ctx, p.In(p.Writer()), user, session, provedByPassword, a.secret.request(user, "step up", "", by.Key))
}

func (a *Accounts) stepUpCode(ctx context.Context, by Caller, user ids.User, session ids.Session, text string) error {
	code, err := readFactorCode(text)
	if err != nil {
		return malformed("/code", err.Error())
	}
	if err := a.throttle.code(sessionKey(user, session), user, by.Address, a.now()); err != nil {
		return err
	}
	of, err := a.credentialOf(ctx, user)
	switch {
	case err != nil:
		return err
	case !of.second:
		return errWantNoCode
	}
	p, request := a.at(user), a.secret.request(user, "step up", code, by.Key)
	_, err = p.Write(ctx, "session", func(tx *sql.Tx) error {
		in := p.In(tx)
		if _, err := lock(ctx, in, user); err != nil {
			return err
		}
		var proof []byte
		err := in.QueryRowContext(ctx, selectProof, user, int64(session)).Scan(&proof)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return errNoSession
		case err != nil:
			return db.WriteError("read session", err)
		case subtle.ConstantTimeCompare(proof, request[:]) == 1: // its answer was lost
			return nil
		}
		f, err := a.factor(ctx, in, p, user)
		if err != nil {
			return err
		}
		shown, ok := a.secret.proves(f, code, a.now())
		if !ok || !f.active {
			return errCode
		}
		if err := a.spend(ctx, tx, p, of, shown, request); err != nil {
			return err
		}
		return a.prove(ctx, in, user, session, shown.by(), request)
	})
	return err
}
