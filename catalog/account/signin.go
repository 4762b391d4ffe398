package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/catalog/account/internal/password"
	"sluice/catalog/internal/vault"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	selectCredential = "SELECT i.claim, i.value_index, i.value, c.password, c.password_at, u.state, u.locale, COALESCE(f.active, FALSE), " +
		"k.subject_id IS NOT NULL, k.key_id, k.wrapped FROM users__ u LEFT JOIN credentials__ c ON c.user_id = u.user_id " +
		"LEFT JOIN identities__ i ON i.user_id = c.user_id AND i.kind = 'email' LEFT JOIN factors__ f ON f.user_id = u.user_id " +
		"LEFT JOIN account_keys__ k ON k.subject_id = u.user_id WHERE u.user_id = ?"
	lockUser = "SELECT u.state, c.password, i.value_index, COALESCE(f.active, FALSE), u.created_at <= NOW(3) - INTERVAL ? SECOND FROM users__ u " +
		"LEFT JOIN credentials__ c ON c.user_id = u.user_id LEFT JOIN identities__ i ON i.user_id = u.user_id AND i.kind = 'email' " +
		"LEFT JOIN factors__ f ON f.user_id = u.user_id WHERE u.user_id = ? FOR UPDATE"
	renewHash = "UPDATE credentials__ SET password = ? WHERE user_id = ? AND password = ?"

	insertSession = "INSERT INTO sessions__ (user_id, session_id, seed, created_at, rotated_at, proved_at, proved_by, ends_at) " +
		"VALUES (?, ?, ?, NOW(3), NOW(3), NOW(3), ?, NOW(3) + INTERVAL ? SECOND)"
	selectSession = "SELECT s.seed, s.generation, s.ends_at <= NOW(3), TIMESTAMPDIFF(MICROSECOND, s.rotated_at, NOW(3)), u.state " +
		"FROM sessions__ s JOIN users__ u ON u.user_id = s.user_id WHERE s.user_id = ? AND s.session_id = ?"
	rotateSession = "UPDATE sessions__ SET generation = generation + 1, rotated_at = NOW(3), " +
		"ends_at = LEAST(NOW(3) + INTERVAL ? SECOND, created_at + INTERVAL ? SECOND) " +
		"WHERE user_id = ? AND session_id = ? AND generation = ? AND ends_at > NOW(3)"
	selectUnused = "SELECT session_id FROM sessions__ WHERE user_id = ? AND ends_at > NOW(3) ORDER BY rotated_at DESC, session_id LIMIT 1000 OFFSET ?"
	selectOthers = "SELECT session_id FROM sessions__ WHERE user_id = ? AND session_id <> ? AND ends_at > NOW(3) FOR UPDATE"
	// A refresh that waits for this may have begun before ends_at, so what it finds is another generation.
	finishSome = "UPDATE sessions__ SET ends_at = NOW(3), generation = generation + 1 WHERE user_id = ? AND ends_at > NOW(3) AND session_id IN (?" // and more, and ")"
	finishOne  = finishSome + ")"
)

var (
	credentialsRefused = problem.NewKind(problem.Kind{
		Code: "credentials_refused", Status: http.StatusForbidden, Title: "The e-mail address or the password is wrong.",
	})
	userLocked = problem.NewKind(problem.Kind{
		Code: "user_locked", Status: http.StatusForbidden, Title: "The user is locked.",
	})

	errCredentials = &problem.Problem{Kind: credentialsRefused}
	errLocked      = &problem.Problem{Kind: userLocked}
	errSpent       = &problem.Problem{Kind: problem.WrongState, Detail: "the session of this Idempotency-Key was refreshed or has ended since: sign in with another key"}
)

// credential is how a user signs in.
type credential struct {
	user   ids.User // nobody's, if the address has no account
	known  bool     // there is a password, and so an address
	claim  ids.Identity
	index  Index  // of the address
	sealed []byte // the address
	hash   string
	since  int64 // when the password was set, in ms; 0: there is none
	locale string
	state  State
	second bool      // the user has a second factor
	box    vault.Box // of the user
	keyed  bool      // else nothing was ever sealed, and there is no box
}

// credential looks up who has an address. It asks the same of MySQL whether or not somebody has.
func (a *Accounts) credential(ctx context.Context, index Index) (credential, error) {
	user, err := a.owner(ctx, index)
	if err != nil {
		return credential{}, err
	}
	if user == 0 {
		user = a.secret.nobody(index)
	}
	c, err := a.credentialOf(ctx, user)
	if err == nil && (!c.known || c.index != index) {
		c = credential{user: user}
		c.box, err = a.personal.Pretend(int64(user))
	}
	return c, err
}

// credentialOf reads the credential of a user.
func (a *Accounts) credentialOf(ctx context.Context, user ids.User) (c credential, err error) {
	p := a.at(user)
	c.user = user
	var held []byte
	var claim sql.Null[ids.Identity]
	var hash sql.Null[string]
	var since sql.Null[time.Time]
	var key vault.Key
	err = p.In(p.Writer()).QueryRowContext(ctx, selectCredential, user).
		Scan(&claim, &held, &c.sealed, &hash, &since, &c.state, &c.locale, &c.second, &c.keyed, &key.By, &key.Wrapped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("credential", "credentials"+p.Suffix, err))
	case c.state == StateErased:
		return credential{user: user, state: c.state}, nil
	}
	if c.known = hash.Valid && claim.Valid; c.known {
		copy(c.index[:], held)
		c.claim, c.hash, c.since = claim.V, hash.V, since.V.UnixMilli()
	}
	if c.keyed {
		c.box, err = a.personal.Adopt(int64(user), key)
	}
	return c, erased(err)
}

// SignIn is what somebody signs in with.
type SignIn struct {
	Email    string
	Password string
	Device   string // a device token, or empty
}

// Tokens are what a session gives.
type Tokens struct {
	User    ids.User
	Session ids.Session
	Access  string
	Refresh string
	Device  string // of a new session, or after a reset
}

const deviceBytesMax = 200

var errDevice = malformed("/device_token", fmt.Sprintf("want at most %d characters", deviceBytesMax))

// SignedIn is what a password or another identity gives: tokens, or what a code of the second factor has to answer.
type SignedIn struct {
	Tokens

	Second *Asked // nil: there are tokens
}

// SignIn begins a session, unless its user has a second factor: FinishSignIn begins it then. A wrong password and an unknown address
// are refused alike, and take as long.
func (a *Accounts) SignIn(ctx context.Context, by Caller, with SignIn) (SignedIn, error) {
	email, err := ReadEmail(with.Email)
	if err != nil {
		return SignedIn{}, malformed("/email", err.Error())
	}
	by.Device = with.Device
	if err := by.checkDevice(); err != nil {
		return SignedIn{}, err
	}
	given, err := password.Read(with.Password)
	if err != nil {
		return SignedIn{}, errCredentials // nobody has such a password, whoever has the address
	}
	index := a.index(email)
	c, err := a.credential(ctx, index)
	if err != nil {
		return SignedIn{}, err
	}
	if err := a.throttle.try(index, by.Address, a.secret.knows(c, with.Device), a.now()); err != nil {
		return SignedIn{}, err
	}
	in, err := a.enter(ctx, by, c, given)
	if errors.Is(err, errChanged) { // by a reset, by another request that renewed the same password's hash, or by a new address or second factor
		if c, err = a.credential(ctx, index); err != nil {
			return SignedIn{}, err
		}
		in, err = a.enter(ctx, by, c, given)
	}
	if errors.Is(err, errChanged) {
		err = errCredentials
	}
	return in, err
}

// errChanged means that the credential is another one than was read.
var errChanged = fmt.Errorf("the password has changed meanwhile: %w", stock.ErrNotApplied)

// enter begins a session for who knows the password, or asks for the second factor.
func (a *Accounts) enter(ctx context.Context, by Caller, c credential, given password.Password) (in SignedIn, err error) {
	right, err := a.hasher.Verify(ctx, given, c.hash)
	switch {
	case err != nil:
		return in, err
	case !right || !c.known:
		return in, errCredentials
	}
	renewed := ""
	if password.Old(c.hash) {
		if renewed, err = a.hasher.Hash(ctx, given, password.Salt()); err != nil {
			return in, err
		}
	}
	a.step("verified")
	if c.second {
		asked, err := a.askSecond(ctx, by, c, renewed)
		return SignedIn{Second: &asked}, err
	}
	in.Tokens, err = a.begin(ctx, by, c, provedByPassword, func(in place.Conn, held locked) error {
		// What a new password or another address ends, no old one begins, nor one without the second factor.
		if held.hash != c.hash || held.email != c.index || held.second {
			return errChanged
		}
		if renewed == "" {
			return nil
		}
		_, err := in.ExecContext(ctx, renewHash, renewed, c.user, c.hash)
		return writeError("renew hash", err)
	})
	return in, err
}

// locked is what counts of a user while its lock is held.
type locked struct {
	state  State
	hash   string
	email  Index // of the address; zero: there is none
	second bool
	// settled says that the user is no new one.
	settled bool
}

// lock orders what begins and ends several sessions of a user, or changes the address, the password or the second factor: it returns what
// counts. It comes first in a transaction, so no two of them wait for each other.
func lock(ctx context.Context, in place.Conn, user ids.User) (of locked, err error) {
	var hash sql.NullString
	var email []byte
	if err := in.QueryRowContext(ctx, lockUser, int64(settledAfter/time.Second), user).Scan(&of.state, &hash, &email, &of.second, &of.settled); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return of, db.WriteError("lock user", err)
	}
	of.hash = hash.String
	copy(of.email[:], email)
	return of, nil
}

// begin begins a session by what was shown, or finds the one that the same request began. Under the lock of the user it asks whether
// that still counts.
func (a *Accounts) begin(ctx context.Context, by Caller, c credential, shown string, still func(in place.Conn, held locked) error) (Tokens, error) {
	user := c.user
	p, id, from := a.at(user), a.secret.drawSession(user, by.Key), newSeed()
	var origin origin
	if c.keyed {
		var err error
		if origin, err = c.origin(by); err != nil {
			return Tokens{}, err
		}
	}
	_, err := p.Write(ctx, "session", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, user)
		if err == nil {
			err = still(in, held)
		}
		switch {
		case err != nil:
			return err
		case held.state != StateActive:
			return errLocked
		}
		if !c.keyed { // the user was made since
			if c.box, err = a.personal.BoxIn(ctx, tx, int64(user)); err != nil {
				return err
			}
			if origin, err = c.origin(by); err != nil {
				return err
			}
		}
		return a.write(ctx, tx, p, newSession{of: c, id: id, seed: from, provedBy: shown, by: by, origin: origin, settled: held.settled})
	})
	switch {
	case db.Answer(err) == db.AnswerDuplicate:
		return a.again(ctx, c, id)
	case err != nil:
		return Tokens{}, err
	}
	return a.tokens(refreshToken{user, id, 1}, from, a.secret.device(c))
}

// newSession is a session that begins.
type newSession struct {
	of       credential
	id       ids.Session
	seed     seed
	provedBy string
	by       Caller
	origin   origin
	settled  bool // its user is no new one
}

// write writes a session and its place in the history, tells of a new device, and ends the one that was unused for longest if there are too many. The transaction holds the user's lock.
func (a *Accounts) write(ctx context.Context, tx *sql.Tx, p place.Place, s newSession) error {
	in := p.In(tx)
	if _, err := in.ExecContext(ctx, insertSession, s.of.user, s.id, s.seed[:], s.provedBy, int64(idleMax/time.Second)); err != nil {
		return db.WriteError("write session", err)
	}
	if err := a.note(ctx, in, s.of.user, outcomeDone, s.provedBy, s.id, s.origin); err != nil {
		return err
	}
	if s.settled && s.of.known && !a.secret.knows(s.of, s.by.Device) {
		if err := a.tellOfDevice(ctx, tx, p, s.of, s.by, s.id); err != nil {
			return err
		}
	}
	unused, err := a.sessionIDs(ctx, in, selectUnused, s.of.user, sessionsMax)
	if err != nil {
		return err
	}
	return a.finishSessions(ctx, tx, p, s.of.user, unused)
}

// session reads a session.
func (a *Accounts) session(ctx context.Context, user ids.User, id ids.Session) (s session, err error) {
	p := a.at(user)
	var from []byte
	var age int64
	err = p.In(p.Writer()).QueryRowContext(ctx, selectSession, user, id).Scan(&from, &s.generation, &s.over, &age, &s.state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return session{over: true}, nil
	case err != nil:
		return s, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("session", "sessions"+p.Suffix, err))
	}
	copy(s.seed[:], from)
	s.age = time.Duration(age) * time.Microsecond
	return s, nil
}

// tokens signs an access token of a session.
func (a *Accounts) tokens(t refreshToken, from seed, device string) (Tokens, error) {
	now := a.now()
	access, err := a.signer.Issue(auth.Claims{
		Identity:  auth.Identity{Subject: int64(t.user), Role: auth.RoleShopper, Session: t.session},
		NotBefore: now.Add(-auth.Skew), Expires: now.Add(auth.ShopperLifetime),
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("sign token: %w", err)
	}
	return Tokens{t.user, t.session, access, a.secret.refresh(t, from), device}, nil
}

// Refresh returns the next tokens of a session for the last ones. It may be repeated for a short while.
func (a *Accounts) Refresh(ctx context.Context, text string) (Tokens, error) {
	t, mac, ok := readRefresh(text)
	if !ok {
		return Tokens{}, errRefresh
	}
	p := a.at(t.user)
	for range 2 { // the second time, because another request was first after all
		s, err := a.session(ctx, t.user, t.session)
		if err != nil {
			return Tokens{}, err
		}
		switch a.secret.judge(s, t, mac) {
		case verdictRefuse:
			return Tokens{}, errRefresh
		case verdictReuse:
			err := a.EndSession(ctx, t.user, t.session)
			if err == nil || errors.Is(err, errNoSession) {
				err = errRefresh
			}
			return Tokens{}, err
		case verdictRepeat:
			t.generation++
			return a.tokens(t, s.seed, "")
		case verdictRotate:
			done, err := p.In(p.Writer()).ExecContext(ctx, rotateSession,
				int64(idleMax/time.Second), int64(sessionMax/time.Second), t.user, t.session, t.generation)
			if err != nil {
				return Tokens{}, db.WriteError("rotate session", err)
			}
			if n, err := done.RowsAffected(); err == nil && n == 1 {
				t.generation++
				return a.tokens(t, s.seed, "")
			}
		}
	}
	return Tokens{}, errRefresh
}

// sessionIDs lists sessions of a user.
func (a *Accounts) sessionIDs(ctx context.Context, in place.Conn, query string, values ...any) (all []ids.Session, err error) {
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var id ids.Session
		err := row.Scan(&id)
		all = append(all, id)
		return err
	}, query, values...)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w: %w", stock.ErrNotApplied, err)
	}
	return all, nil
}

// finishSessions ends sessions of a user, and tells of it.
func (a *Accounts) finishSessions(ctx context.Context, tx *sql.Tx, p place.Place, user ids.User, all []ids.Session) error {
	if len(all) == 0 {
		return nil
	}
	values := []any{user}
	for _, id := range all {
		values = append(values, id)
	}
	if _, err := p.In(tx).ExecContext(ctx, finishSome+strings.Repeat(", ?", len(all)-1)+")", values...); err != nil {
		return db.WriteError("end sessions", err)
	}
	return tell(ctx, p, tx, user, eventEnded, ended{Sessions: all})
}
