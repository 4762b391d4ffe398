package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/catalog/account/internal/rows"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/stock"
)

// Accounts has the users. It is safe for concurrent use.
type Accounts struct{ rows *rows.Queries }

// New makes the accounts in a database, which its caller closes.
func New(database *sql.DB) *Accounts { return &Accounts{rows.New(database)} }

// User returns a user. Its error is a problem if there is none.
func (a *Accounts) User(ctx context.Context, id ids.User) (User, error) {
	row, err := a.rows.User(ctx, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return User{}, errUnknown
	case err != nil: // whatever happened, nothing was changed
		return User{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("user", "users", err))
	}
	return User{ID: row.UserID, Home: Home{row.Region, row.Locale}, State: State(row.State), CreatedAt: row.CreatedAt}, nil
}

// Make makes a user who has an id already. A user who is known with the same home is a success. The first of several that
// come at once makes the user.
func (a *Accounts) Make(ctx context.Context, id ids.User, home Home) (user User, made bool, err error) {
	if p := home.check(); p != nil {
		return user, false, p
	}
	err = a.rows.InsertUser(ctx, rows.InsertUserParams{UserID: id, State: string(StateActive), Region: home.Region, Locale: home.Locale})
	made = err == nil
	if err != nil && db.Answer(err) != db.AnswerDuplicate {
		return user, false, db.WriteError("write user", err)
	}
	user, err = a.User(ctx, id)
	switch {
	case err != nil && made:
		return user, false, fmt.Errorf("%w: %w", stock.ErrUnknown, err) // it was made, and the caller learns of it by asking again
	case err == nil && user.Home != home:
		return user, false, errOther
	}
	return user, made, err
}
