package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/catalog/account/internal/rows"
	"sluice/catalog/internal/vault"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	listIdentities = "SELECT i.claim, i.kind, i.provider, i.value_index, i.value, i.made_at, k.key_id, k.wrapped FROM identities__ i " +
		"LEFT JOIN account_keys__ k ON k.subject_id = i.user_id WHERE i.user_id = ? AND i.kind IS NOT NULL ORDER BY i.made_at, i.claim LIMIT ?"
	clearIdentity  = "UPDATE identities__ SET kind = NULL, provider = '', value_index = NULL, value = NULL WHERE user_id = ? AND claim = ?"
	hasClaim       = "SELECT 1 FROM identities__ WHERE user_id = ? AND claim = ?"
	deletePassword = "DELETE FROM credentials__ WHERE user_id = ?"

	// identitiesMax bounds the ways in which a user signs in.
	identitiesMax = 20
)

var (
	unknownIdentity = problem.NewKind(problem.Kind{
		Code: "unknown_identity", Status: http.StatusNotFound, Title: "The user has no such way to sign in.",
	})
	errNoIdentity = &problem.Problem{Kind: unknownIdentity}
	errLastWay    = &problem.Problem{Kind: problem.WrongState, Detail: "it is the last way to sign in: add another one first"}
	// The use of a recovery code is told by e-mail.
	errSecondFirst = &problem.Problem{Kind: problem.WrongState, Detail: "the user has a second factor, which needs the address: remove it first"}
	errManyWays    = &problem.Problem{Kind: problem.WrongState, Detail: fmt.Sprintf("a user has at most %d ways to sign in: remove one first", identitiesMax)}
)

// Identity is a way in which a user signs in, as the user sees it.
type Identity struct {
	ID       ids.Identity `json:"-"`
	Kind     Kind         `json:"kind"`
	Provider string       `json:"provider,omitzero"` // of an account at one
	Value    string       `json:"value"`             // the address, the number, or a name at the provider, which may be empty
	MadeAt   time.Time    `json:"made_at"`

	index Index
}

// Holder is a user at a session.
type Holder struct {
	User    ids.User
	Session ids.Session
}

// Identities lists the ways in which a user signs in, the oldest first.
func (a *Accounts) Identities(ctx context.Context, user ids.User) ([]Identity, error) {
	p := a.at(user)
	return a.identities(ctx, p.In(p.Writer()), user)
}

func (a *Accounts) identities(ctx context.Context, in place.Conn, user ids.User) (all []Identity, err error) {
	var sealed [][]byte
	var key vault.Key
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var i Identity
		var index, value []byte
		err := row.Scan(&i.ID, &i.Kind, &i.Provider, &index, &value, &i.MadeAt, &key.By, &key.Wrapped)
		copy(i.index[:], index)
		all, sealed = append(all, i), append(sealed, value)
		return err
	}, listIdentities, user, identitiesMax)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("identities", "identities"+a.at(user).Suffix, err))
	}
	if len(all) == 0 {
		return nil, nil
	}
	box, err := a.personal.Adopt(int64(user), key)
	if err != nil {
		return nil, erased(err)
	}
	for n := range all {
		plain, err := box.Open(identityField(all[n].ID), sealed[n])
		if err != nil {
			return nil, err
		}
		all[n].Value = string(plain)
	}
	return all, nil
}

// addition is an identity that a user has shown to be theirs.
type addition struct {
	identity
	value    string // what its user sees of it
	password string // hash, of who has an address for the first time

	// use notes in a transaction that what has shown it is used, and reports whether it was not before, by the same request.
	use func(tx *sql.Tx, p place.Place) (bool, error)
}

// set gives a user the address, or the number, that a code of a purpose was sent to.
func (a *Accounts) set(ctx context.Context, by Caller, who Holder, of purpose, kind Kind, handle, code string) (Identity, error) {
	key := a.secret.ofKey(by.Key)
	c, err := a.answered(ctx, of, handle, code, key)
	switch {
	case err != nil:
		return Identity{}, err
	case c.user != who.User:
		return Identity{}, errCode
	}
	return a.add(ctx, who, addition{
		identity: identity{user: c.user, kind: kind, index: c.index}, value: c.value, password: c.password,
		use: func(tx *sql.Tx, p place.Place) (bool, error) { return a.use(ctx, tx, p, c, key) },
	})
}

// add gives a user another identity. An address or a number takes the place of the one that the user has. Who has the identity
// already is given nothing.
func (a *Accounts) add(ctx context.Context, who Holder, of addition) (Identity, error) {
	added, err := a.addOnce(ctx, who, &of)
	if errors.Is(err, errGivenUp) {
		// The user had the same value before, and the request that took it stopped before the end of its claim. Who has just shown that it
		// is theirs need not wait for a sweep.
		if err := a.release(ctx, of.identity); err != nil {
			return Identity{}, err
		}
		added, err = a.addOnce(ctx, who, &of)
	}
	return added, err
}

// addOnce does so by one claim. A process may end between any two of its steps: a sweep ends the claim that has no identity then.
func (a *Accounts) addOnce(ctx context.Context, who Holder, of *addition) (Identity, error) {
	box, err := a.personal.Box(ctx, int64(who.User))
	if err != nil {
		return Identity{}, erased(err)
	}
	if of.identity, err = a.claim(ctx, of.identity, of.value, box); err != nil {
		return Identity{}, err
	}
	reopened, err := a.reopenAll(ctx, of.identity)
	if err != nil {
		return Identity{}, err
	}
	a.step("reopened")
	p := a.at(who.User)
	var replaced []Identity
	_, err = p.Write(ctx, "identity", func(tx *sql.Tx) error {
		replaced = nil
		held, err := lock(ctx, p.In(tx), who.User)
		if err == nil {
			err = may(held.state)
		}
		if err == nil {
			err = a.stays(ctx, p.In(tx), who)
		}
		if err != nil {
			return err
		}
		first, err := of.use(tx, p)
		if err != nil {
			return err
		}
		before, err := a.identities(ctx, p.In(tx), who.User)
		if err != nil {
			return err
		}
		switch {
		case slices.ContainsFunc(before, func(i Identity) bool { return i.index == of.index }):
			if first && of.password != "" { // another code brought the address, with its password
				return passwordFault(true)
			}
			return nil
		case !first: // it was given up since the same request made it
			return errCode
		}
		for _, old := range before {
			if !of.replaces(old) {
				continue
			}
			if !slices.Contains(reopened, old.ID) {
				return errMoved
			}
			replaced = append(replaced, old)
		}
		if len(before)-len(replaced) >= identitiesMax {
			return errManyWays
		}
		defer a.step("writing")
		return a.put(ctx, tx, p, who, held, of, before, replaced)
	})
	if err != nil {
		return Identity{}, err
	}
	a.step("switched")
	a.finalise(ctx, of.identity)
	a.step("final")
	a.unclaimAll(ctx, who.User, replaced)
	a.step("ended")
	added, err := a.identity(ctx, who.User, of.index)
	if errors.Is(err, errNoIdentity) { // another request has replaced it since
		err = errCode
	}
	return added, err
}

// errMoved says that another request has given the user another way to sign in meanwhile.
var errMoved = fmt.Errorf("the ways to sign in have changed meanwhile: %w", stock.ErrNotApplied)

// replaces reports whether an identity takes the place of another one of its user: a user has one address and one number.
func (i identity) replaces(old Identity) bool {
	return i.kind != KindProvider && i.kind == old.Kind && i.index != old.index
}

// reopenAll reopens the claims of the identities whose place another one takes.
func (a *Accounts) reopenAll(ctx context.Context, by identity) (reopened []ids.Identity, err error) {
	held, err := a.Identities(ctx, by.user)
	if err != nil {
		return nil, err
	}
	for _, old := range held {
		if !by.replaces(old) {
			continue
		}
		if err := a.reopen(ctx, old.of(by.user)); err != nil {
			return nil, err
		}
		reopened = append(reopened, old.ID)
	}
	return reopened, nil
}

// put writes an identity in the place of others in a transaction, which holds the user's lock, and tells of it. If there were others,
// all other sessions end: one of them may have begun by those.
func (a *Accounts) put(ctx context.Context, tx *sql.Tx, p place.Place, who Holder, held locked, of *addition, before, replaced []Identity) error {
	in := p.In(tx)
	switch {
	case of.kind != KindEmail:
	case (of.password == "") == (held.hash == ""): // since the code was asked for
		return passwordFault(held.hash != "")
	case of.password != "":
		if _, err := in.ExecContext(ctx, insertCredential, who.User, of.password); err != nil {
			return db.WriteError("write credential", err)
		}
	}
	for _, old := range replaced {
		if err := a.clear(ctx, in, who.User, old); err != nil {
			return err
		}
	}
	if len(replaced) > 0 {
		if err := a.endOthers(ctx, tx, p, who); err != nil {
			return err
		}
	}
	if err := of.write(ctx, in); err != nil {
		return err
	}
	return a.tellAdded(ctx, tx, p, of.identity, of.value, before, replaced)
}

// of is what claims know of an identity.
func (i Identity) of(user ids.User) identity {
	return identity{user: user, claim: i.ID, kind: i.Kind, index: i.index}
}

// identity is the one of a user with an index.
func (a *Accounts) identity(ctx context.Context, user ids.User, index Index) (Identity, error) {
	all, err := a.Identities(ctx, user)
	if err != nil {
		return Identity{}, err
	}
	at := slices.IndexFunc(all, func(i Identity) bool { return i.index == index })
	if at < 0 {
		return Identity{}, errNoIdentity
	}
	return all[at], nil
}

// RemoveIdentity takes a way to sign in from a user, unless it is the last one. All other sessions end: one of them may have begun by
// it. One that was removed before is a success.
func (a *Accounts) RemoveIdentity(ctx context.Context, who Holder, id ids.Identity) error {
	p := a.at(who.User)
	all, err := a.Identities(ctx, who.User)
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(all, func(i Identity) bool { return i.ID == id }); at >= 0 {
		if len(all) == 1 {
			return errLastWay
		}
		if err := a.reopen(ctx, all[at].of(who.User)); err != nil {
			return err
		}
		a.step("reopened")
	}
	var removed []Identity
	_, err = p.Write(ctx, "end of an identity", func(tx *sql.Tx) error {
		removed = nil
		held, err := lock(ctx, p.In(tx), who.User)
		if err == nil {
			err = a.stays(ctx, p.In(tx), who)
		}
		if err != nil {
			return err
		}
		before, err := a.identities(ctx, p.In(tx), who.User)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(before, func(i Identity) bool { return i.ID == id })
		switch {
		case at < 0:
			return a.wasThere(ctx, p.In(tx), who.User, id)
		case len(before) == 1:
			return errLastWay
		case held.second && before[at].Kind == KindEmail:
			return errSecondFirst
		}
		removed = before[at : at+1]
		if err := a.clear(ctx, p.In(tx), who.User, before[at]); err != nil {
			return err
		}
		if before[at].Kind == KindEmail { // a password is one of an address
			if _, err := p.In(tx).ExecContext(ctx, deletePassword, who.User); err != nil {
				return db.WriteError("delete password", err)
			}
		}
		if err := a.endOthers(ctx, tx, p, who); err != nil {
			return err
		}
		return a.tellRemoved(ctx, tx, p, who.User, before[at], before)
	})
	if err != nil {
		return err
	}
	a.unclaimAll(ctx, who.User, removed)
	return nil
}

// wasThere returns an error unless a user had an identity.
func (a *Accounts) wasThere(ctx context.Context, in place.Conn, user ids.User, id ids.Identity) error {
	var one int
	err := in.QueryRowContext(ctx, hasClaim, user, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoIdentity
	}
	return writeError("read identity", err)
}

// clear takes an identity from a user in a transaction, which holds the user's lock. The row stays, so that nobody makes it again by
// the same claim.
func (a *Accounts) clear(ctx context.Context, in place.Conn, user ids.User, of Identity) error {
	_, err := in.ExecContext(ctx, clearIdentity, user, of.ID)
	return writeError("clear identity", err)
}

// endOthers ends all sessions of a user but the holder's, in a transaction that holds the user's lock.
func (a *Accounts) endOthers(ctx context.Context, tx *sql.Tx, p place.Place, who Holder) error {
	others, err := a.sessionIDs(ctx, p.In(tx), selectOthers, who.User, int64(who.Session))
	if err != nil {
		return err
	}
	return a.finishSessions(ctx, tx, p, who.User, others)
}

// unclaimAll ends the claims of identities that are cleared. What fails is left to a sweep, because their claims are open.
func (a *Accounts) unclaimAll(ctx context.Context, user ids.User, all []Identity) {
	for _, i := range all {
		if err := a.unclaim(ctx, i.of(user)); err != nil {
			a.log.DebugContext(ctx, "a claim stays for the sweep", "error", err)
		}
	}
}

// tellAdded tells a user of a new way to sign in, wherever else the user is reached, and who had the address or the number before that it
// is none.
func (a *Accounts) tellAdded(ctx context.Context, tx *sql.Tx, p place.Place, added identity, value string, before, replaced []Identity) error {
	way := masked(added.kind, added.provider, value)
	for _, old := range replaced {
		n := notice{templateRemoved, old.ID, map[string]string{"way": masked(old.Kind, "", old.Value)}}
		if old.Kind == KindEmail {
			n = notice{templateEmailChanged, added.claim, map[string]string{"address": way}}
		}
		if err := a.tellBy(ctx, tx, p, added.user, n, []Identity{old}); err != nil {
			return err
		}
	}
	to := slices.DeleteFunc(slices.Clone(before), func(i Identity) bool {
		return slices.ContainsFunc(replaced, func(old Identity) bool { return old.ID == i.ID })
	})
	return a.tellBy(ctx, tx, p, added.user, notice{templateAdded, added.claim, map[string]string{"way": way}}, to)
}

func (a *Accounts) tellRemoved(ctx context.Context, tx *sql.Tx, p place.Place, user ids.User, removed Identity, before []Identity) error {
	way := masked(removed.Kind, removed.Provider, removed.Value)
	return a.tellBy(ctx, tx, p, user, notice{templateRemoved, removed.ID, map[string]string{"way": way}}, before)
}

// notice is what a user is told of a change of an identity.
type notice struct {
	template string
	of       ids.Identity
	values   map[string]string // without the time
}

// tellBy tells a user of a change, by all ways in which the user is reached.
func (a *Accounts) tellBy(ctx context.Context, tx *sql.Tx, p place.Place, user ids.User, n notice, to []Identity) error {
	row, err := rows.New(p.In(tx)).User(ctx, user)
	if err != nil {
		return db.WriteError("read user", err)
	}
	n.values["at"] = a.now().UTC().Format(time.RFC3339)
	for _, i := range to {
		if i.Kind == KindProvider {
			continue
		}
		err := a.messenger.Add(ctx, tx, p, Message{
			Event: "identity-" + n.of.String(), User: user, Template: n.template, Locale: row.Locale, By: i.Kind, To: i.Value, Values: n.values,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// masked shows a way to sign in to its user, and little of it to others.
func masked(kind Kind, provider, value string) string {
	if kind == KindEmail {
		return value[:1] + "***" + value[strings.LastIndexByte(value, '@'):]
	}
	if kind == KindPhone {
		return value[:3] + strings.Repeat("*", len(value)-5) + value[len(value)-2:]
	}
	return provider
}
