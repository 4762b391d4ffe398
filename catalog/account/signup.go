package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"sluice/catalog/account/internal/password"
	"sluice/catalog/account/internal/rows"
	"sluice/catalog/assess"
	"sluice/catalog/internal/vault"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	insertChallenge = "INSERT INTO challenges__ (user_id, nonce, purpose, decoy, seed, value_index, value, password, region, locale, ends_at) " +
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NOW(3) + INTERVAL ? SECOND)"
	selectChallenge = "SELECT c.purpose, c.decoy, c.seed, c.value_index, c.value, c.password, c.region, c.locale, c.used_by, c.ends_at, k.key_id, k.wrapped " +
		"FROM challenges__ c LEFT JOIN account_keys__ k ON k.subject_id = c.user_id WHERE c.user_id = ? AND c.nonce = ?"
	tryChallenge = "UPDATE challenges__ SET tries = tries + 1 WHERE user_id = ? AND nonce = ? AND purpose = ? AND tries < ? AND ends_at > NOW(3)"
	useChallenge = "UPDATE challenges__ SET used_by = ?, value = IF(?, '', value) WHERE user_id = ? AND nonce = ? AND used_by IS NULL"

	insertCredential = "INSERT INTO credentials__ (user_id, password, password_at) VALUES (?, ?, NOW(3))"
)

// Caller is who makes a request: from where, with which Idempotency-Key, and at which device.
type Caller struct {
	Address netip.Addr
	Key     string
	Device  string // a device token, or empty

	DeviceName string // what its owner calls it, or empty
}

// Asked is a code that was sent.
type Asked struct {
	Challenge string // its handle
	EndsAt    time.Time
}

// Registration is what somebody registers with.
type Registration struct {
	Email    string
	Password string
	Home
}

// Register sends a code to the address, by which its owner becomes a user. If the address has an account already, it is told
// of that instead. The caller is told the same in both cases, at the same time: nobody learns who has an account.
func (a *Accounts) Register(ctx context.Context, by Caller, r Registration) (Asked, error) {
	if p := r.check(); p != nil {
		return Asked{}, p
	}
	email, chosen, err := newLogin(r.Email, r.Password)
	if err != nil {
		return Asked{}, err
	}
	index := a.index(email)
	if err := a.mayAsk(ctx, by, KindEmail, string(email), index, false); err != nil {
		return Asked{}, err
	}
	c := &challenge{purpose: purposeRegister, seed: newSeed(), index: index, value: string(email), Home: r.Home}
	c.user = a.secret.drawUser(index, r.Home, by.Key)
	c.nonce = sumOf(a.secret.draws, []byte(purposeRegister), number(c.user)).positive()
	salt := sumOf(a.secret.draws, []byte("salt"), number(c.user)) // a repetition has the same hash, and is known by it
	if c.password, err = a.hasher.Hash(ctx, chosen, [16]byte(salt[:16])); err != nil {
		return Asked{}, err
	}
	owner, err := a.owner(ctx, index)
	if err != nil {
		return Asked{}, err
	}
	m := Message{Template: templateVerify, Locale: r.Locale, By: KindEmail, To: string(email)}
	if c.decoy = owner != 0; c.decoy {
		m.Template, c.value = templateTaken, "" // it is another user's, who may be erased
	}
	return a.ask(ctx, c, m)
}

// mayAsk admits a message that somebody asks for. What strangers ask for does not keep back who has a known device.
func (a *Accounts) mayAsk(ctx context.Context, by Caller, kind Kind, to string, index Index, known bool) error {
	if err := a.throttle.message(index, by.Address, known, a.now()); err != nil || known && kind == KindEmail {
		return err
	}
	return a.messenger.Allow(ctx, Ask{By: kind, To: to, From: by.Address, Known: known}) // a short message costs too much for no cap
}

// newLogin reads an address and a new password for it.
func newLogin(address, text string) (Email, password.Password, error) {
	email, err := ReadEmail(address)
	if err != nil {
		return "", password.Password{}, malformed("/email", err.Error())
	}
	chosen, err := newPassword(text, email)
	return email, chosen, err
}

// newPassword reads a new password of the owner of an address.
func newPassword(text string, email Email) (password.Password, error) {
	chosen, err := password.Read(text)
	if err == nil {
		err = chosen.Check(string(email), email.Local())
	}
	if err != nil {
		return chosen, &problem.Problem{Kind: passwordRefused, Pointer: "/password", Detail: err.Error()}
	}
	return chosen, nil
}

var passwordRefused = problem.NewKind(problem.Kind{
	Code: "password_refused", Status: http.StatusUnprocessableEntity, Title: "The password cannot be taken: choose another one.",
})

// ask writes a challenge and its message. A repetition of a request finds its first challenge, and sends nothing.
func (a *Accounts) ask(ctx context.Context, c *challenge, m Message) (Asked, error) {
	p := a.at(c.user)
	sealed, err := a.sealChallenge(ctx, c.challengeKey, c.purpose, []byte(c.value))
	if err != nil {
		return Asked{}, err
	}
	drawn := sumOf(a.secret.draws, []byte("message"), c.seed[:]) // a later challenge under the same key has a message of its own
	m.Event, m.Within = "challenge-"+ids.Event(drawn.positive()).String(), challengeLife
	m.Values = map[string]string{}
	if !c.decoy {
		switch c.purpose {
		case purposeReset, purposeSetPhone, purposeSetEmail:
			m.User = c.user
		case purposeRegister, purposePhone, purposeSignIn: // who asks is nobody yet, or may be
		case purposeProvider, purposeLink: // they have no message
		}
		m.Values["code"] = a.secret.code(c.challengeKey, c.purpose, c.seed)
		m.Values["minutes"] = strconv.Itoa(int(challengeLife / time.Minute))
	}
	_, err = p.Write(ctx, "challenge", func(tx *sql.Tx) error {
		held, err := lock(ctx, p.In(tx), c.user)
		switch {
		case err != nil:
			return err
		case held.state == StateErased && c.purpose == purposeRegister: // the key registered a user who was erased
			return &problem.Problem{Kind: problem.Mismatch}
		case held.state == StateErased: // meanwhile: asked again, it is an address that nobody has
			return fmt.Errorf("ask for a code: %w: the user was erased", stock.ErrNotApplied)
		}
		_, err = p.In(tx).ExecContext(ctx, insertChallenge, c.user, c.nonce, c.purpose, c.decoy, c.seed[:], c.index[:], sealed, c.password, c.Region, c.Locale,
			int64(challengeLife/time.Second))
		if err != nil {
			return db.WriteError("write challenge", err)
		}
		return a.messenger.Add(ctx, tx, p, m)
	})
	if err != nil && db.Answer(err) != db.AnswerDuplicate {
		return Asked{}, err
	}
	first, ends, err := a.challenge(ctx, p.In(p.Writer()), p, c.challengeKey)
	switch {
	case errors.Is(err, sql.ErrNoRows): // it was swept meanwhile
		return Asked{}, fmt.Errorf("read challenge: %w: %w", stock.ErrNotApplied, err)
	case err != nil:
		return Asked{}, err
	case first.password != c.password:
		return Asked{}, &problem.Problem{Kind: problem.Mismatch}
	}
	return Asked{a.secret.handle(c.challengeKey), ends}, nil
}

// challenge reads a challenge.
func (a *Accounts) challenge(ctx context.Context, in place.Conn, p place.Place, k challengeKey) (*challenge, time.Time, error) {
	c := &challenge{challengeKey: k}
	var seed, index, sealed []byte
	var ends time.Time
	var key vault.Key
	err := in.QueryRowContext(ctx, selectChallenge, k.user, k.nonce).
		Scan(&c.purpose, &c.decoy, &seed, &index, &sealed, &c.password, &c.Region, &c.Locale, &c.usedBy, &ends, &key.By, &key.Wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ends, err
	}
	if err != nil {
		return nil, ends, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("challenge", "challenges"+p.Suffix, err))
	}
	copy(c.seed[:], seed)
	copy(c.index[:], index)
	value, err := a.openChallenge(k, c.purpose, sealed, key)
	if err != nil {
		return nil, ends, err
	}
	c.value = string(value)
	return c, ends, nil
}

// answered returns the challenge that a code answers. Each call costs a try. A code that is used has no tries and no end, but for one
// of a phone: it answers the repetitions of the request that used it. Whatever is wrong, the refusal is the same.
func (a *Accounts) answered(ctx context.Context, of purpose, handle, code string, key sum) (*challenge, error) {
	if err := checkCode(code); err != nil {
		return nil, malformed("/code", err.Error())
	}
	k, ok := a.secret.ofHandle(handle)
	if !ok {
		return nil, errCode
	}
	c, counts, err := a.tried(ctx, a.at(k.user), k, of)
	switch {
	case err != nil:
		return nil, err
	case !a.secret.fits(c, code):
		return nil, errCode
	}
	// A number may be another user's by the end of its code, so a used one of a phone ends too.
	if first, may := c.mayUse(key); !may || !counts && (first || of == purposePhone) {
		return nil, errCode
	}
	return c, nil
}

// tried counts a try of a challenge, and reads it. It reports whether the try counts: no other does than one of the first few,
// in time.
func (a *Accounts) tried(ctx context.Context, p place.Place, k challengeKey, of purpose) (c *challenge, counts bool, err error) {
	done, err := p.In(p.Writer()).ExecContext(ctx, tryChallenge, k.user, k.nonce, of, triesMax)
	if err != nil {
		return nil, false, db.WriteError("count a try", err)
	}
	n, err := done.RowsAffected()
	if err != nil {
		return nil, false, db.WriteError("count a try", err)
	}
	c, _, err = a.challenge(ctx, p.In(p.Writer()), p, k)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, errCode
	case err != nil:
		return nil, false, err
	case c.purpose != of:
		return nil, false, errCode
	}
	return c, n == 1, nil
}

// use notes in the transaction of its effect that a challenge is used, and forgets where it went. It reports false if it was before, by
// the same request.
func (a *Accounts) use(ctx context.Context, tx *sql.Tx, p place.Place, c *challenge, key sum) (first bool, err error) {
	return a.useOnce(ctx, tx, p, c, key, true)
}

// useOnce is use. Unless it forgets, repetitions of the request have the value too.
func (a *Accounts) useOnce(ctx context.Context, tx *sql.Tx, p place.Place, c *challenge, key sum, forget bool) (first bool, err error) {
	done, err := p.In(tx).ExecContext(ctx, useChallenge, key[:], forget, c.user, c.nonce)
	if err != nil {
		return false, db.WriteError("use a code", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return true, err
	}
	now, _, err := a.challenge(ctx, p.In(tx), p, c.challengeKey) // the row is locked by the statement before
	switch {
	case errors.Is(err, sql.ErrNoRows): // the user was erased meanwhile
		return false, errCode
	case err != nil:
		return false, err
	}
	if _, may := now.mayUse(key); !may {
		return false, errCode
	}
	return false, nil
}

// Verify makes who registered a user. The code shows that the address is theirs.
func (a *Accounts) Verify(ctx context.Context, by Caller, handle, code string) (User, error) {
	key := a.secret.ofKey(by.Key)
	c, err := a.answered(ctx, purposeRegister, handle, code, key)
	if err != nil {
		return User{}, err
	}
	if first, _ := c.mayUse(key); !first { // the same request has made the user
		return a.User(ctx, c.user, db.Never)
	}
	verdict, err := a.assess(ctx, by, c.user, c.Home, Email(c.value).Domain())
	if err != nil {
		return User{}, err
	}
	made, err := a.personal.Make(ctx, int64(c.user))
	if err != nil {
		return User{}, err
	}
	mine, err := a.claim(ctx, identity{user: c.user, kind: KindEmail, index: c.index}, c.value, made.Box)
	if err != nil {
		return User{}, err
	}
	p, first := a.at(c.user), false
	_, err = p.Write(ctx, "user", func(tx *sql.Tx) error {
		if first, err = a.use(ctx, tx, p, c, key); err != nil || !first {
			return err
		}
		if err := a.makeUser(ctx, tx, p, made, c.Home, mine, verdict); err != nil {
			return err
		}
		if _, err := p.In(tx).ExecContext(ctx, insertCredential, c.user, c.password); err != nil {
			return db.WriteError("write credential", err)
		}
		return nil
	})
	if err != nil {
		return User{}, err
	}
	if first {
		a.assessor.CountUser(ctx, by.Address)
		a.finalise(ctx, mine) // a repetition leaves that to the sweep: the user may have given the address up since
	}
	return a.User(ctx, c.user, db.Never)
}

// makeUser makes a user who has a key and an identity, and was assessed.
func (a *Accounts) makeUser(ctx context.Context, tx *sql.Tx, p place.Place, key vault.Made, home Home, has identity, v assess.Verdict) error {
	user, state := has.user, stateAfter(v)
	if err := has.write(ctx, p.In(tx)); err != nil { // first, so that others who want the same find it early
		return err
	}
	err := rows.New(p.In(tx)).InsertUser(ctx, rows.InsertUserParams{UserID: user, State: string(state), Region: home.Region, Locale: home.Locale})
	if err != nil {
		return db.WriteError("write user", err)
	}
	if err := a.personal.Insert(ctx, tx, key); err != nil {
		return err
	}
	if err := a.assessor.Note(ctx, tx, signUp(user), v); err != nil {
		return err
	}
	return tell(ctx, p, tx, user, eventMade, event{State: state})
}
