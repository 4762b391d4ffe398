package account

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

// Kind says what an identity is.
type Kind string

// The kinds.
const (
	KindEmail    Kind = "email"
	KindPhone    Kind = "phone"
	KindProvider Kind = "provider" // an account somewhere else
)

// identity is what belongs to one user at most, and lets its user in.
type identity struct {
	user     ids.User
	claim    ids.Identity // its id
	kind     Kind
	provider string // of KindProvider
	index    Index
	sealed   []byte // what its user sees of it
}

const insertIdentity = "INSERT INTO identities__ (user_id, claim, kind, provider, value_index, value, made_at) VALUES (?, ?, ?, ?, ?, ?, NOW(3))"

// errGivenUp says that a sweep took a slow process for one that has ended. Another attempt makes another claim.
var errGivenUp = fmt.Errorf("the claim was given up meanwhile: %w", stock.ErrNotApplied)

// write makes an identity of a claim, in the place of its user.
func (i identity) write(ctx context.Context, in place.Conn) error {
	_, err := in.ExecContext(ctx, insertIdentity, i.user, i.claim, i.kind, i.provider, i.index[:], i.sealed)
	switch {
	case db.Answer(err) == db.AnswerDuplicate:
		return errGivenUp
	case err != nil:
		return db.WriteError("write identity", err)
	}
	return nil
}

// KeptIdentity is an identity as its user sees it.
type KeptIdentity struct {
	Kind     Kind      `json:"kind"`
	Provider string    `json:"provider,omitzero"`
	Value    string    `json:"value"`
	MadeAt   time.Time `json:"made_at"`
}

const selectIdentities = "SELECT kind, provider, value, made_at FROM identities__ WHERE user_id = ? AND kind IS NOT NULL ORDER BY made_at, claim"

// Identities are those of a user.
func (a *Accounts) Identities(ctx context.Context, user ids.User) ([]KeptIdentity, error) {
	p := a.at(user)
	all, sealed := []KeptIdentity{}, [][]byte{}
	err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var i KeptIdentity
		var value []byte
		err := row.Scan(&i.Kind, &i.Provider, &value, &i.MadeAt)
		all, sealed = append(all, i), append(sealed, value)
		return err
	}, selectIdentities, user)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("identities", "identities"+p.Suffix, err))
	}
	for i := range all {
		if all[i].Value, err = a.vault.Open(ctx, user, all[i].Kind, sealed[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
