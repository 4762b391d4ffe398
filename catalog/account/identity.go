package account

import (
	"context"
	"fmt"

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
