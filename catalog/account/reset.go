package account

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"sluice/catalog/account/internal/password"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
)

const (
	setPassword = "UPDATE credentials__ SET password = ?, password_at = NOW(3) WHERE user_id = ? AND password = ?" //nolint:gosec // G101: it has none
	selectSince = "SELECT password_at FROM credentials__ WHERE user_id = ?"
)

// AskReset sends a code to an address, by which its owner gives the account a new password. The caller learns nothing about
// the address: who has no account is told so by the message.
func (a *Accounts) AskReset(ctx context.Context, by Caller, address string) (Asked, error) {
	email, err := ReadEmail(address)
	if err != nil {
		return Asked{}, malformed("/email", err.Error())
	}
	if len(by.Device) > deviceBytesMax {
		return Asked{}, errDevice
	}
	index := a.index(email)
	of, err := a.credential(ctx, index)
	if err != nil {
		return Asked{}, err
	}
	if err := a.mayAsk(ctx, by, KindEmail, string(email), index, a.secret.knows(of, by.Device)); err != nil {
		return Asked{}, err
	}
	if email, err = mailOf(of, email); err != nil {
		return Asked{}, err
	}
	c := &challenge{purpose: purposeReset, decoy: !of.known, seed: newSeed(), index: index}
	c.user = of.user
	c.nonce = sumOf(a.secret.draws, []byte(purposeReset), index[:], []byte(by.Key)).positive()
	m := Message{Template: templateReset, Locale: of.locale, By: KindEmail, To: string(email)}
	if c.decoy {
		m.Template, m.Locale = templateNoAccount, localeDefault
	}
	return a.ask(ctx, c, m)
}

// mailOf is where messages to an account go: to the address that its owner wrote, because a server may tell apart what is one
// address here. Who has no account is written to as asked for, and as much is sealed for them.
func mailOf(of credential, asked Email) (Email, error) {
	if !of.known {
		_, err := of.box.Seal(identityField(of.claim), []byte(asked))
		return asked, err
	}
	return of.email()
}

// localeDefault is for who is not known.
const localeDefault = "en"

// Reset gives an account a new password by a code, and ends all its sessions. The device token lets its owner sign in, whoever
// else tries passwords at the same time.
func (a *Accounts) Reset(ctx context.Context, by Caller, handle, code, text string) (device string, err error) {
	given, err := newPassword(text, "")
	if err != nil {
		return "", err
	}
	key := a.secret.ofKey(by.Key)
	c, err := a.answered(ctx, purposeReset, handle, code, key)
	if err != nil {
		return "", err
	}
	of, err := a.credentialOf(ctx, c.user)
	switch {
	case err != nil:
		return "", err
	case !of.known || of.index != c.index: // the address is not the account's any more
		return "", errCode
	}
	if first, _ := c.mayUse(key); !first {
		return a.resetAgain(ctx, by, of, given)
	}
	email, err := of.email()
	if err != nil {
		return "", err
	}
	chosen, err := newPassword(text, email)
	if err != nil {
		return "", err
	}
	hash, err := a.hasher.Hash(ctx, chosen, password.Salt())
	if err != nil {
		return "", err
	}
	a.step("hashed")
	p, first := a.at(c.user), false
	_, err = p.Write(ctx, "password", func(tx *sql.Tx) error {
		held, err := lock(ctx, p.In(tx), c.user)
		switch {
		case err != nil:
			return err
		case held.email != c.index:
			return errCode
		}
		of.hash = held.hash // whatever it was: the code counts, not the last password
		if first, err = a.use(ctx, tx, p, c, key); err != nil || !first {
			return err
		}
		if err := a.changePassword(ctx, tx, p, of, email, hash, 0); err != nil {
			return err
		}
		var since time.Time
		err = p.In(tx).QueryRowContext(ctx, selectSince, c.user).Scan(&since)
		of.since = since.UnixMilli()
		return writeError("read password", err)
	})
	switch {
	case err != nil:
		return "", err
	case first:
		return a.secret.device(of), nil
	}
	if of, err = a.credentialOf(ctx, c.user); err != nil { // the same request was first after all
		return "", err
	}
	return a.resetAgain(ctx, by, of, given)
}

// resetAgain answers the repetition of a reset. With another password it is another request: who is told that it is done would sign in
// with a password that nobody has. It counts as a try, because the password may be another one by then, and its owner's.
func (a *Accounts) resetAgain(ctx context.Context, by Caller, of credential, given password.Password) (device string, err error) {
	if err := a.throttle.try(of.index, by.Address, false, a.now()); err != nil {
		return "", err
	}
	right, err := a.hasher.Verify(ctx, given, of.hash)
	switch {
	case err != nil:
		return "", err
	case !right:
		return "", &problem.Problem{Kind: problem.Mismatch}
	}
	return a.secret.device(of), nil
}

// ChangePassword gives a user another password, and ends all sessions but one.
func (a *Accounts) ChangePassword(ctx context.Context, by Caller, user ids.User, but ids.Session, current, next string) error {
	given, err := password.Read(current)
	if err != nil {
		return errCredentials
	}
	of, err := a.credentialOf(ctx, user)
	if err != nil {
		return err
	}
	if !of.known {
		return errNoPassword
	}
	email, err := of.email()
	if err != nil {
		return err
	}
	chosen, err := newPassword(next, email)
	if err != nil {
		return err
	}
	if err := a.throttle.try(of.index, by.Address, true, a.now()); err != nil {
		return err
	}
	err = a.replacePassword(ctx, of, email, but, given, chosen)
	if errors.Is(err, errChanged) { // by a reset, by another change, by another address, or by a sign-in that renewed the same password's hash
		if of, err = a.credentialOf(ctx, user); err != nil {
			return err
		}
		err = a.replacePassword(ctx, of, email, but, given, chosen)
	}
	if errors.Is(err, errChanged) {
		err = errCredentials
	}
	return err
}

// replacePassword does so for who knows the current one.
func (a *Accounts) replacePassword(ctx context.Context, of credential, email Email, but ids.Session, given, chosen password.Password) error {
	right, err := a.hasher.Verify(ctx, given, of.hash)
	if err == nil && !right { // perhaps this request has changed it already, and its answer was lost
		if done, err := a.hasher.Verify(ctx, chosen, of.hash); err != nil || done {
			return err
		}
		err = errCredentials
	}
	if err != nil {
		return err
	}
	hash, err := a.hasher.Hash(ctx, chosen, password.Salt())
	if err != nil {
		return err
	}
	a.step("hashed")
	p := a.at(of.user)
	_, err = p.Write(ctx, "password", func(tx *sql.Tx) error {
		held, err := lock(ctx, p.In(tx), of.user)
		switch {
		case err != nil:
			return err
		case held.email != of.index: // and the notice would go to the last address
			return errChanged
		}
		return a.changePassword(ctx, tx, p, of, email, hash, but)
	})
	return err
}

var errNoPassword = &problem.Problem{Kind: problem.WrongState, Detail: "the user has no password: sign in again, which proves the new session for five minutes"}

// changePassword does in a transaction what a new password means. The transaction holds the user's lock.
func (a *Accounts) changePassword(ctx context.Context, tx *sql.Tx, p place.Place, of credential, email Email, hash string, but ids.Session) error {
	done, err := p.In(tx).ExecContext(ctx, setPassword, hash, of.user, of.hash)
	if err != nil {
		return db.WriteError("write password", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 { // another request has changed it since
		return errors.Join(errChanged, err)
	}
	others, err := a.sessionIDs(ctx, p.In(tx), selectOthers, of.user, int64(but))
	if err != nil {
		return err
	}
	a.step("others")
	if err := a.finishSessions(ctx, tx, p, of.user, others); err != nil {
		return err
	}
	if err := tell(ctx, p, tx, of.user, eventPassword, nothing{}); err != nil {
		return err
	}
	changed := sumOf(a.secret.draws, []byte(hash))
	return a.messenger.Add(ctx, tx, p, Message{
		Event: "password-" + ids.Event(changed.positive()).String(), User: of.user, Template: templateChanged, Locale: of.locale, By: KindEmail, To: string(email),
		Values: map[string]string{"at": a.now().UTC().Format(time.RFC3339)},
	})
}
