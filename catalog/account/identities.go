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
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	listIdentities = "SELECT claim, kind, provider, value_index, value, made_at FROM identities__ WHERE user_id = ? AND kind IS NOT NULL ORDER BY made_at, claim LIMIT ?"
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
	all, err := a.identities(ctx, p.In(p.Writer()), user)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("identities", "identities"+p.Suffix, err))
	}
	return all, nil
}

func (a *Accounts) identities(ctx context.Context, in place.Conn, user ids.User) (all []Identity, err error) {
	var sealed [][]byte
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var i Identity
		var index, value []byte
		err := row.Scan(&i.ID, &i.Kind, &i.Provider, &index, &value, &i.MadeAt)
		copy(i.index[:], index)
		all, sealed = append(all, i), append(sealed, value)
		return err
	}, listIdentities, user, identitiesMax)
	for n := range all {
		if err == nil {
			all[n].Value, err = a.vault.Open(ctx, user, all[n].Kind, sealed[n])
		}
	}
	return all, err
}

// add gives a user another identity, once its claim is made. A number takes the place of the one that the user has. The use
// of what has shown it is noted, and reported to be the first one or that of a repetition. Who has the identity already is given nothing.
func (a *Accounts) add(ctx context.Context, who Holder, of identity, value string, use func(tx *sql.Tx, p place.Place) (bool, error)) (Identity, error) {
	mine, err := a.claim(ctx, of, value)
	if err != nil {
		return Identity{}, err
	}
	p := a.at(who.User)
	var replaced []Identity
	if mine.kind == KindPhone {
		held, err := a.Identities(ctx, who.User)
		if err != nil {
			return Identity{}, err
		}
		for _, old := range held {
			if old.Kind == KindPhone && old.index != mine.index {
				if err := a.reopen(ctx, old.of(who.User)); err != nil {
					return Identity{}, err
				}
			}
		}
		a.step("reopened")
	}
	_, err = p.Write(ctx, "identity", func(tx *sql.Tx) error {
		replaced = nil
		if _, err := lock(ctx, p.In(tx), who.User); err != nil {
			return err
		}
		first, err := use(tx, p)
		if err != nil {
			return err
		}
		before, err := a.identities(ctx, p.In(tx), who.User)
		if err != nil {
			return db.WriteError("read identities", err)
		}
		there := slices.ContainsFunc(before, func(i Identity) bool { return i.index == mine.index })
		switch {
		case there:
			return nil
		case !first: // it was given up since the same request made it
			return errCode
		case len(before) >= identitiesMax:
			return errManyWays
		}
		for _, old := range before {
			if mine.kind == KindPhone && old.Kind == KindPhone {
				replaced = append(replaced, old)
				if err := a.clear(ctx, tx, p, who, old); err != nil {
					return err
				}
			}
		}
		if err := mine.write(ctx, p.In(tx)); err != nil {
			return err
		}
		return a.tellAdded(ctx, tx, p, mine, value, before, replaced)
	})
	if err != nil {
		return Identity{}, err
	}
	a.finalise(ctx, mine)
	a.unclaimAll(ctx, who.User, replaced)
	return a.identity(ctx, who.User, mine.index)
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
		if err != nil {
			return err
		}
		before, err := a.identities(ctx, p.In(tx), who.User)
		if err != nil {
			return db.WriteError("read identities", err)
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
		if err := a.clear(ctx, tx, p, who, before[at]); err != nil {
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

// clear takes an identity from a user in a transaction, which holds the user's lock, and ends all other sessions. The row stays, so
// that nobody makes it again by the same claim.
func (a *Accounts) clear(ctx context.Context, tx *sql.Tx, p place.Place, who Holder, of Identity) error {
	in := p.In(tx)
	if _, err := in.ExecContext(ctx, clearIdentity, who.User, of.ID); err != nil {
		return db.WriteError("clear identity", err)
	}
	if of.Kind == KindEmail { // a password is one of an address
		if _, err := in.ExecContext(ctx, deletePassword, who.User); err != nil {
			return db.WriteError("delete password", err)
		}
	}
	others, err := a.sessionIDs(ctx, in, selectOthers, who.User, int64(who.Session))
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

// tellAdded tells a user of a new way to sign in, wherever else the user is reached, and who had the number before that it is none.
func (a *Accounts) tellAdded(ctx context.Context, tx *sql.Tx, p place.Place, added identity, value string, before, replaced []Identity) error {
	for _, old := range replaced {
		if err := a.tellBy(ctx, tx, p, added.user, templateRemoved, old.ID, masked(old.Kind, "", old.Value), []Identity{old}); err != nil {
			return err
		}
	}
	to := slices.DeleteFunc(slices.Clone(before), func(i Identity) bool {
		return slices.ContainsFunc(replaced, func(old Identity) bool { return old.ID == i.ID })
	})
	return a.tellBy(ctx, tx, p, added.user, templateAdded, added.claim, masked(added.kind, added.provider, value), to)
}

func (a *Accounts) tellRemoved(ctx context.Context, tx *sql.Tx, p place.Place, user ids.User, removed Identity, before []Identity) error {
	return a.tellBy(ctx, tx, p, user, templateRemoved, removed.ID, masked(removed.Kind, removed.Provider, removed.Value), before)
}

// tellBy tells a user of a change, by all ways in which the user is reached.
func (a *Accounts) tellBy(ctx context.Context, tx *sql.Tx, p place.Place, user ids.User, template string, of ids.Identity, way string, to []Identity) error {
	row, err := rows.New(p.In(tx)).User(ctx, user)
	if err != nil {
		return db.WriteError("read user", err)
	}
	for _, i := range to {
		if i.Kind == KindProvider {
			continue
		}
		err := a.messenger.Add(ctx, tx, p, Message{
			Event: "identity-" + of.String(), User: user, Template: template, Locale: row.Locale, By: i.Kind, To: i.Value,
			Values: map[string]string{"at": a.now().UTC().Format(time.RFC3339), "way": way},
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
