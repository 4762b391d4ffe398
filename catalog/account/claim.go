package account

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// An address belongs to one user at most, though the two are in different places. It is claimed first, then its user is made,
// then the claim is final. A process may end between any two of these. So after claimLife a sweep looks whether there is such
// a user: it makes the claim final, or gives the registration up for ever and ends the claim.
const (
	claimLife = 10 * time.Minute
	sweepMax  = 500 // rows of one statement

	insertClaim   = "INSERT INTO emails__ (email_index, user_id, claimed_at) VALUES (?, ?, NOW(3))"
	selectClaim   = "SELECT user_id FROM emails__ WHERE email_index = ?"
	finaliseClaim = "UPDATE emails__ SET final = TRUE WHERE email_index = ? AND user_id = ?"
	endClaim      = "DELETE FROM emails__ WHERE email_index = ? AND user_id = ? AND final = FALSE"
	selectPending = "SELECT email_index, user_id FROM emails__ WHERE final = FALSE AND claimed_at <= NOW(3) - INTERVAL ? SECOND ORDER BY claimed_at LIMIT ?"
	giveUp        = "INSERT INTO credentials__ (user_id, password_at) VALUES (?, NOW(3))"

	// A challenge that was used answers the repetitions of its request for a day.
	sweepChallenges = "DELETE FROM challenges__ WHERE ends_at <= NOW(3) - INTERVAL 1 DAY LIMIT ?"
	sweepSessions   = "DELETE FROM sessions__ WHERE ends_at <= NOW(3) - INTERVAL 30 DAY LIMIT ?"
)

// of is where an index is.
func (a *Accounts) of(index Index) place.Place { return a.databases.At(shard.OfValue(index[:])) }

// owner is the user to whom an address belongs, or 0. It may still be claimed only.
func (a *Accounts) owner(ctx context.Context, index Index) (user ids.User, err error) {
	p := a.of(index)
	err = p.In(p.Writer()).QueryRowContext(ctx, selectClaim, index[:]).Scan(&user)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("address", "emails"+p.Suffix, err))
	}
	return user, nil
}

// claim claims an address for a user.
func (a *Accounts) claim(ctx context.Context, index Index, user ids.User) error {
	p := a.of(index)
	_, err := p.In(p.Writer()).ExecContext(ctx, insertClaim, index[:], user)
	switch {
	case err == nil:
		return nil
	case db.Answer(err) != db.AnswerDuplicate:
		return db.WriteError("claim an address", err)
	}
	owner, err := a.owner(ctx, index)
	if err == nil && owner != user {
		err = errTaken
	}
	return err
}

// finalise makes the claim of a user final. If it fails, a sweep does it.
func (a *Accounts) finalise(ctx context.Context, index Index, user ids.User) {
	p := a.of(index)
	if _, err := p.In(p.Writer()).ExecContext(ctx, finaliseClaim, index[:], user); err != nil {
		a.log.DebugContext(ctx, "a claim stays for the sweep", "error", err)
	}
}

// Sweep ends what processes left behind, and deletes what is over. What fails in one place keeps back no other.
func (a *Accounts) Sweep(ctx context.Context) error {
	var faults []error
	for _, p := range a.databases.All(shard.Values) {
		faults = append(faults, a.sweepClaims(ctx, p))
	}
	for _, p := range a.databases.All(shard.Users) {
		for _, statement := range []string{sweepChallenges, sweepSessions} {
			_, err := p.In(p.Writer()).ExecContext(ctx, statement, sweepMax)
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (a *Accounts) sweepClaims(ctx context.Context, p place.Place) error {
	type claimed struct {
		index Index
		user  ids.User
	}
	var all []claimed
	err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var c claimed
		var index []byte
		err := row.Scan(&index, &c.user)
		copy(c.index[:], index)
		all = append(all, c)
		return err
	}, selectPending, int64(claimLife/time.Second), sweepMax)
	if err != nil {
		return fmt.Errorf("list pending addresses: %w", err)
	}
	var faults []error
	for _, c := range all { // the users are in any place: one that is away keeps back its own only
		there, err := a.settle(ctx, c.index, c.user)
		statement := endClaim
		if there {
			statement = finaliseClaim
		}
		if err == nil {
			_, err = p.In(p.Writer()).ExecContext(ctx, statement, c.index[:], c.user)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("settle a pending address: %w", err))
		}
	}
	return errors.Join(faults...)
}

// givenUp reports whether the registration of a user was given up.
func (a *Accounts) givenUp(ctx context.Context, user ids.User) (bool, error) {
	p := a.at(user)
	var held []byte
	err := p.In(p.Writer()).QueryRowContext(ctx, selectIndex, user).Scan(&held)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("credential", "credentials"+p.Suffix, err))
	}
	return held == nil, nil
}

// settle reports whether there is a user with an address. If not, there will never be: the registration is given up.
func (a *Accounts) settle(ctx context.Context, index Index, user ids.User) (there bool, err error) {
	p := a.at(user)
	_, err = p.In(p.Writer()).ExecContext(ctx, giveUp, user)
	if db.Answer(err) != db.AnswerDuplicate {
		return false, err
	}
	var held []byte
	err = p.In(p.Writer()).QueryRowContext(ctx, selectIndex, user).Scan(&held)
	return bytes.Equal(held, index[:]), err
}
