package account

import (
	"cmp"
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/provider"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/vault"
	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

// A provider takes a code once. So what it says is kept, under the Idempotency-Key of the request that brought the code, and answers
// the repetitions of this request: its answer may have been lost. The row is written before the provider is asked. Until the provider
// has answered, repetitions are told to come again. If the process ends meanwhile, one of them asks the provider again after
// exchangeMax. The row is one of challenges__, with other meanings: decoy, the provider has not answered; used_by, the request that asks;
// tries, 1 once it is used; seed, whose turn it is.
const (
	exchangeMax = provider.TimeoutMax + 10*time.Second

	insertExchange = "INSERT INTO challenges__ (user_id, nonce, purpose, decoy, seed, value_index, value, used_by, ends_at) " +
		"VALUES (?, ?, ?, TRUE, ?, ?, '', ?, NOW(3) + INTERVAL ? SECOND)"
	selectExchange = "SELECT c.purpose, c.decoy, c.value_index, c.value, c.used_by, c.tries, k.key_id, k.wrapped " +
		"FROM challenges__ c LEFT JOIN account_keys__ k ON k.subject_id = c.user_id WHERE c.user_id = ? AND c.nonce = ?"
	takeExchange = "UPDATE challenges__ SET seed = ?, ends_at = NOW(3) + INTERVAL ? SECOND " +
		"WHERE user_id = ? AND nonce = ? AND used_by = ? AND decoy AND ends_at <= NOW(3) + INTERVAL ? SECOND"
	finishExchange = "UPDATE challenges__ SET decoy = FALSE, value_index = ?, value = ? WHERE user_id = ? AND nonce = ? AND seed = ? AND decoy"
	endExchange    = "DELETE FROM challenges__ WHERE user_id = ? AND nonce = ? AND seed = ? AND decoy"
	useExchange    = "UPDATE challenges__ SET tries = 1, value = IF(?, '', value) WHERE user_id = ? AND nonce = ? AND used_by = ? AND NOT decoy AND tries = 0"
	hasExchange    = "SELECT 1 FROM challenges__ WHERE user_id = ? AND nonce = ? AND used_by = ? AND NOT decoy"
)

// exchanged is what a provider has said in a flow: an identity, and what its user sees of it. The latter is forgotten when it is used.
type exchanged struct {
	index Index
	spent bool
	Label string `json:"label,omitzero"`
	Email Email  `json:"email,omitzero"` // one that is verified there
}

func (e exchanged) value() string { return cmp.Or(string(e.Email), e.Label) }

// ofPerson is what counts of a person here. An address that is none here is left out.
func (a *Accounts) ofPerson(who provider.Person) exchanged {
	of := exchanged{index: a.secret.index(KindProvider, who.Issuer+"\n"+who.Subject), Label: who.Label} // neither has a line break
	if email, err := ReadEmail(who.Email); err == nil {
		of.Email = email
	}
	return of
}

// exchange returns what the provider says to a code. It asks the provider once for each flow.
func (a *Accounts) exchange(ctx context.Context, by Caller, from *provider.Provider, f flow, r Return) (exchanged, error) {
	k, key, turn := a.secret.exchangeOf(f), a.secret.ofKey(by.Key), newSeed()
	for range 2 { // the second time, because another request was first
		held, err := a.exchangeHeld(ctx, k, f.purpose(), key)
		switch {
		case errors.Is(err, sql.ErrNoRows) && f.over(a.now()):
			return exchanged{}, errCode
		case errors.Is(err, sql.ErrNoRows):
			err = a.beginExchange(ctx, k, f, key, turn)
		case errors.Is(err, errUnderWay):
			err = a.takeExchange(ctx, k, key, turn)
		default:
			return held, err
		}
		switch {
		case err == nil:
			return a.askProvider(ctx, from, k, f, r, turn)
		case db.Answer(err) != db.AnswerDuplicate:
			return exchanged{}, err
		}
	}
	return exchanged{}, errUnderWay
}

var errUnderWay = &problem.Problem{Kind: replay.InProgress}

// exchangeHeld is what a provider has said to the same request. Nobody else learns of it.
func (a *Accounts) exchangeHeld(ctx context.Context, k challengeKey, of purpose, key sum) (e exchanged, err error) {
	p := a.at(k.user)
	var is purpose
	var open bool
	var index, sealed, usedBy []byte
	var tries int
	var user vault.Key
	err = p.In(p.Writer()).QueryRowContext(ctx, selectExchange, k.user, k.nonce).
		Scan(&is, &open, &index, &sealed, &usedBy, &tries, &user.By, &user.Wrapped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return e, err
	case err != nil:
		return e, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("challenge", "challenges"+p.Suffix, err))
	case is != of || subtle.ConstantTimeCompare(usedBy, key[:]) != 1:
		return e, errCode
	case open:
		return e, errUnderWay
	}
	copy(e.index[:], index)
	plain, err := a.openChallenge(k, of, sealed, user)
	switch {
	case err != nil:
	case len(plain) > 0:
		if json.Unmarshal(plain, &e) != nil { // its error may quote
			err = errors.New("what an exchange keeps cannot be read")
		}
	case tries == 0: // it was never used, and is over
		err = errCode
	default:
		e.spent = true
	}
	return e, err
}

// beginExchange writes that a request asks the provider. Under the lock of the user it looks whether there is one who may.
func (a *Accounts) beginExchange(ctx context.Context, k challengeKey, f flow, key sum, turn seed) error {
	p, none := a.at(k.user), Index{}
	_, err := p.Write(ctx, "exchange", func(tx *sql.Tx) error {
		held, err := lock(ctx, p.In(tx), k.user)
		switch {
		case err != nil:
			return err
		case f.User != 0:
			err = may(held.state)
		case held.state == StateErased: // whom the same flow has made
			err = errCode
		}
		if err != nil {
			return err
		}
		_, err = p.In(tx).ExecContext(ctx, insertExchange, k.user, k.nonce, f.purpose(), turn[:], none[:], key[:], int64(challengeLife/time.Second))
		return writeError("write exchange", err)
	})
	return err
}

// takeExchange takes the turn of a process that has ended.
func (a *Accounts) takeExchange(ctx context.Context, k challengeKey, key sum, turn seed) error {
	p := a.at(k.user)
	life := int64(challengeLife / time.Second)
	done, err := p.In(p.Writer()).ExecContext(ctx, takeExchange, turn[:], life, k.user, k.nonce, key[:], life-int64(a.exchangeMax/time.Second))
	if err != nil {
		return db.WriteError("take an exchange", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errUnderWay, err)
	}
	return nil
}

// askProvider asks the provider, and keeps what it says. Who has gone away meanwhile finds it there.
func (a *Accounts) askProvider(ctx context.Context, from *provider.Provider, k challengeKey, f flow, r Return, turn seed) (exchanged, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.exchangeMax) // behind that it is another one's turn
	defer cancel()
	p := a.at(k.user)
	a.step("exchanging")
	who, err := from.Exchange(ctx, a.secret.at(f), provider.Answer{Code: r.Code, Issuer: r.Issuer})
	if err != nil { // the same request may ask again
		if _, ended := p.In(p.Writer()).ExecContext(ctx, endExchange, k.user, k.nonce, turn[:]); ended != nil {
			a.log.DebugContext(ctx, "an exchange stays for its time", "error", ended)
		}
		return exchanged{}, ofProvider(err)
	}
	a.step("exchanged")
	of := a.ofPerson(who)
	plain, err := json.Marshal(of)
	if err != nil {
		return exchanged{}, err
	}
	sealed, err := a.sealChallenge(ctx, k, f.purpose(), plain)
	if err != nil {
		return exchanged{}, err
	}
	done, err := p.In(p.Writer()).ExecContext(ctx, finishExchange, of.index[:], sealed, k.user, k.nonce, turn[:])
	if err != nil {
		return exchanged{}, db.WriteError("keep an exchange", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 { // it took so long that another one has its turn
		return exchanged{}, errors.Join(errUnderWay, err)
	}
	return of, nil
}

// ofProvider is the refusal for an error of a provider.
func ofProvider(err error) error {
	switch {
	case errors.Is(err, provider.ErrRefused):
		return errCode
	case errors.Is(err, provider.ErrUnavailable):
		return errProviderAway
	}
	return errProviderBroken
}

// useExchange notes in the transaction of its effect that what a provider has said is used. It reports false if it was before, by the
// same request. Unless it forgets what was said, repetitions of the request have it too.
func (a *Accounts) useExchange(ctx context.Context, tx *sql.Tx, p place.Place, k challengeKey, key sum, forget bool) (first bool, err error) {
	done, err := p.In(tx).ExecContext(ctx, useExchange, forget, k.user, k.nonce, key[:])
	if err != nil {
		return false, db.WriteError("use an exchange", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return true, err
	}
	var one int
	err = p.In(tx).QueryRowContext(ctx, hasExchange, k.user, k.nonce, key[:]).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) { // the user was erased meanwhile
		return false, errCode
	}
	return false, writeError("read exchange", err)
}
