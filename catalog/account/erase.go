package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	// eventErased tells all packages to erase what they have of a user.
	eventErased = "user_erased"
	// taskForget is the kind of the tasks that delete what a transaction of the user's place does not reach. It is never renamed.
	taskForget = "forget_user"

	markErased    = "UPDATE users__ SET state = 'erased' WHERE user_id = ?"
	selectIndexes = "SELECT value_index FROM identities__ WHERE user_id = ? AND kind IS NOT NULL"

	forgetClaim      = "DELETE FROM claims__ WHERE value_index = ? AND user_id = ?"
	forgetChallenges = "DELETE FROM challenges__ WHERE value_index = ?"
)

// ofUser deletes what a user has, but for the id and the history of consents.
var ofUser = []string{
	"DELETE FROM profiles__ WHERE user_id = ?",
	"DELETE FROM addresses__ WHERE user_id = ?",
	"DELETE FROM identities__ WHERE user_id = ?",
	"DELETE FROM credentials__ WHERE user_id = ?",
	"DELETE FROM factors__ WHERE user_id = ?",
	"DELETE FROM challenges__ WHERE user_id = ?",
	"DELETE FROM sessions__ WHERE user_id = ?",
	"DELETE FROM sign_ins__ WHERE user_id = ?",
	"DELETE FROM granted_roles__ WHERE user_id = ?",
}

// forgotten are the data of such a task.
type forgotten struct {
	User   ids.User `json:"user_id"`
	Values [][]byte `json:"value_indexes"` // that belonged to the user
}

// Erase ends the sessions of a user, destroys the key of all that is personal about the user, and removes the rows. A user who
// is erased already is a success. Addresses and numbers are free once the task that follows has run.
func (a *Accounts) Erase(ctx context.Context, user ids.User) error {
	p := a.at(user)
	position, err := p.Write(ctx, "the erasure", func(tx *sql.Tx) error {
		in := p.In(tx)
		held, err := lock(ctx, in, user)
		if err != nil || held.state == StateErased {
			return err
		}
		if err := may(held.state); err != nil {
			return err
		}
		sessions, err := a.sessionIDs(ctx, in, selectOthers, user, 0)
		if err == nil {
			err = a.finishSessions(ctx, tx, p, user, sessions)
		}
		if err != nil {
			return err
		}
		left := forgotten{User: user}
		err = db.Rows(ctx, in, func(row *sql.Rows) error {
			var index []byte
			err := row.Scan(&index)
			left.Values = append(left.Values, index)
			return err
		}, selectIndexes, user)
		if err != nil {
			return fmt.Errorf("list identities: %w: %w", stock.ErrNotApplied, err)
		}
		roles, err := grantedTo(ctx, in, user)
		if err != nil {
			return err
		}
		for _, statement := range append(slices.Clone(ofUser), markErased) {
			if _, err := in.ExecContext(ctx, statement, user); err != nil {
				return db.WriteError("erase user", err)
			}
		}
		if err := a.personal.Erase(ctx, tx, int64(user)); err != nil {
			return err
		}
		if err := tell(ctx, p, tx, user, eventErased, event{State: StateErased}); err != nil {
			return err
		}
		if err := a.tasks(p).Add(ctx, tx, taskForget, strconv.FormatInt(int64(user), 10), left, 0); err != nil {
			return err
		}
		by := audit.Author{Actor: audit.Of(auth.RoleShopper.String(), int64(user))}
		for _, r := range roles {
			if err := a.acts.Append(ctx, in, shard.OfUser(int64(user)), roleAct(user, r.Role, false, by, "the user is erased")); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		web.Wrote(ctx, position)
	}
	return err
}

// Keeper is a package that keeps something of users.
type Keeper interface {
	// Forget deletes what it keeps of an erased user. It may be done again.
	Forget(ctx context.Context, user ids.User) error
}

// Keep has other packages told of erased users. It is called before the accounts serve.
func (a *Accounts) Keep(others ...Keeper) { a.others = append(a.others, others...) }

func (a *Accounts) tasks(p place.Place) task.Tasks { return task.Of(owner, p.Suffix) }

// forget frees the addresses and numbers of an erased user, and deletes the user's messages and kept answers, what other packages keep,
// and the codes that others asked for. It may be done again.
func (a *Accounts) forget(ctx context.Context, t task.Task) error {
	var of forgotten
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	if err := a.messenger.Forget(ctx, t.Place, of.User); err != nil {
		return fmt.Errorf("forget messages: %w", err)
	}
	if _, err := replay.Of(owner, t.Place.Suffix).Forget(ctx, t.Place.Writer(), int64(of.User)); err != nil {
		return err
	}
	var faults []error // a place, or a package, that is away keeps back its own only
	for _, other := range a.others {
		if err := other.Forget(ctx, of.User); err != nil {
			faults = append(faults, fmt.Errorf("forget elsewhere: %w", err))
		}
	}
	for _, value := range of.Values {
		p := a.of(Index(value))
		if _, err := p.In(p.Writer()).ExecContext(ctx, forgetClaim, value, of.User); err != nil {
			faults = append(faults, db.WriteError("free a value", err))
		}
		for _, p := range a.databases.All(shard.Users) {
			if _, err := p.In(p.Writer()).ExecContext(ctx, forgetChallenges, value); err != nil {
				faults = append(faults, db.WriteError("delete codes", err))
			}
		}
	}
	return errors.Join(faults...)
}
