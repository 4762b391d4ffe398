package account

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/catalog/internal/vault"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// An identity belongs to one user at most, though the two are in different places. Its value is claimed first, then the identity
// is written where its user is, then the claim is final. A process may end between any two of these. So after claimLife a sweep
// looks whether there is such an identity: it makes the claim final, or gives it up for ever and ends it. Each claim has a number
// of its own, so that who was too slow with one may try again with another.
const (
	claimLife = 10 * time.Minute
	sweepMax  = 500 // rows of one statement

	insertClaim   = "INSERT INTO claims__ (value_index, user_id, claim, claimed_at) VALUES (?, ?, ?, NOW(3))"
	selectClaim   = "SELECT user_id, claim, final FROM claims__ WHERE value_index = ?"
	finaliseClaim = "UPDATE claims__ SET final = TRUE WHERE value_index = ? AND user_id = ? AND claim = ? AND claimed_at <= NOW(3)"
	endClaim      = "DELETE FROM claims__ WHERE value_index = ? AND user_id = ? AND claim = ? AND final = FALSE"
	selectPending = "SELECT value_index, user_id, claim, claimed_at FROM claims__ WHERE final = FALSE AND claimed_at <= NOW(3) - INTERVAL ? SECOND " +
		"AND claimed_at >= ? AND (claimed_at > ? OR value_index > ?) ORDER BY claimed_at, value_index LIMIT ?"
	// The time of a claim that is reopened is to come: no request that made it, and no sweep, makes it final behind that.
	reopenClaim = "UPDATE claims__ SET final = FALSE, claimed_at = NOW(3) + INTERVAL ? SECOND WHERE value_index = ? AND user_id = ? AND claim = ?"
	removeClaim = "DELETE FROM claims__ WHERE value_index = ? AND user_id = ? AND claim = ?"
	giveUp      = "INSERT INTO identities__ (user_id, claim, made_at) VALUES (?, ?, NOW(3))"
	selectMade  = "SELECT value_index FROM identities__ WHERE user_id = ? AND claim = ?"

	// A challenge that was used answers the repetitions of its request for a day.
	sweepChallenges = "DELETE FROM challenges__ WHERE ends_at <= NOW(3) - INTERVAL 1 DAY LIMIT ?"
	// Where one was sent that is over needs nobody any more, but who was in time by a moment and still reads it. The
	// hour bounds how many rows are looked at.
	forgetOver    = "UPDATE challenges__ SET value = '' WHERE ends_at <= NOW(3) - INTERVAL 10 SECOND AND ends_at > NOW(3) - INTERVAL 1 HOUR AND value <> '' LIMIT ?"
	sweepSessions = "DELETE FROM sessions__ WHERE ends_at <= NOW(3) - INTERVAL 30 DAY LIMIT ?"
)

// of is where an index is.
func (a *Accounts) of(index Index) place.Place { return a.databases.At(shard.OfValue(index[:])) }

// owner is the user to whom a value belongs, or 0. It may still be claimed only.
func (a *Accounts) owner(ctx context.Context, index Index) (ids.User, error) {
	of, err := a.claimed(ctx, index)
	return of.user, err
}

// claimed is what a value is claimed by. Without a claim its user is 0.
type claimed struct {
	user  ids.User
	claim ids.Identity
	final bool // the user has had an identity of it
}

// claimed is the claim of a value, if there is one.
func (a *Accounts) claimed(ctx context.Context, index Index) (of claimed, err error) {
	p := a.of(index)
	err = p.In(p.Writer()).QueryRowContext(ctx, selectClaim, index[:]).Scan(&of.user, &of.claim, &of.final)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return claimed{}, nil
	case err != nil:
		return claimed{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("claim", "claims"+p.Suffix, err))
	}
	return of, nil
}

// claim claims a value for a user, who has an identity of it then. A claim that the user has already is this one. The box is the user's.
func (a *Accounts) claim(ctx context.Context, of identity, value string, box vault.Box) (identity, error) {
	p := a.of(of.index)
	of.claim = newClaim()
	_, err := p.In(p.Writer()).ExecContext(ctx, insertClaim, of.index[:], of.user, of.claim)
	if db.Answer(err) == db.AnswerDuplicate {
		var held claimed
		held, err = a.claimed(ctx, of.index)
		switch {
		case err != nil:
			return of, err
		case held.user == 0: // a sweep has ended it meanwhile
			return of, errGivenUp
		case held.user != of.user:
			return of, errTaken
		}
		of.claim = held.claim
	}
	if err != nil {
		return of, db.WriteError("claim a value", err)
	}
	a.step("claimed")
	of.sealed, err = box.Seal(identityField(of.claim), []byte(value))
	return of, err
}

// release ends the claim of an identity that its user does not have, and never will by this claim.
func (a *Accounts) release(ctx context.Context, of identity) error {
	there, err := a.settle(ctx, of)
	if err != nil || there {
		return err
	}
	return a.unclaim(ctx, of)
}

// unclaim ends a claim, final or not.
func (a *Accounts) unclaim(ctx context.Context, of identity) error {
	p := a.of(of.index)
	_, err := p.In(p.Writer()).ExecContext(ctx, removeClaim, of.index[:], of.user, of.claim)
	return writeError("end a claim", err)
}

// reopen has a sweep look at a claim later, unless it is ended before. Whoever gives an identity up does this first.
func (a *Accounts) reopen(ctx context.Context, of identity) error {
	p := a.of(of.index)
	_, err := p.In(p.Writer()).ExecContext(ctx, reopenClaim, int64(claimLife/time.Second), of.index[:], of.user, of.claim)
	return writeError("reopen a claim", err)
}

// newClaim draws the number of a claim.
func newClaim() ids.Identity {
	drawn := newSeed()
	return ids.Identity(max(int64(binary.BigEndian.Uint64(drawn[:])>>1), 1))
}

// finalise makes a claim final. If it fails, a sweep does it.
func (a *Accounts) finalise(ctx context.Context, of identity) {
	p := a.of(of.index)
	if _, err := p.In(p.Writer()).ExecContext(ctx, finaliseClaim, of.index[:], of.user, of.claim); err != nil {
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
		for _, statement := range []string{sweepChallenges, forgetOver, sweepSessions, sweepFactors, sweepSignIns} {
			_, err := db.InParts(ctx, p.In(p.Writer()), "sweep accounts", statement)
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// sweepClaims settles the pending claims of a place, page by page. Their users are in any place: one that is away keeps back its own only,
// so what is left of it may be more than a page.
func (a *Accounts) sweepClaims(ctx context.Context, p place.Place) error {
	faults := map[string][]error{} // by the place of the user
	last, index := time.UnixMilli(0).UTC(), []byte{}
	for more := true; more; {
		var page []identity
		err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			var of identity
			err := row.Scan(&index, &of.user, &of.claim, &last)
			copy(of.index[:], index)
			page = append(page, of)
			return err
		}, selectPending, int64(claimLife/time.Second), last, last, index, sweepMax)
		if err != nil {
			return fmt.Errorf("list pending claims: %w", err)
		}
		for _, of := range page {
			at := a.at(of.user).Name
			if len(faults[at]) > awayAfter {
				continue
			}
			if err := a.settlePending(ctx, p, of); err != nil {
				faults[at] = append(faults[at], fmt.Errorf("settle a pending claim: %w", err))
			}
		}
		more = len(page) == sweepMax
	}
	return errors.Join(slices.Concat(slices.Collect(maps.Values(faults))...)...)
}

// awayAfter faults of a place of users, a sweep asks it no more.
const awayAfter = 2

// settlePending makes a claim final whose identity there is, and ends any other one.
func (a *Accounts) settlePending(ctx context.Context, p place.Place, of identity) error {
	there, err := a.settle(ctx, of)
	if err != nil {
		return err
	}
	statement := endClaim
	if there {
		statement = finaliseClaim
	}
	_, err = p.In(p.Writer()).ExecContext(ctx, statement, of.index[:], of.user, of.claim)
	return err
}

// settle reports whether there is the identity of a claim. If not, there will never be: the claim is given up.
func (a *Accounts) settle(ctx context.Context, of identity) (there bool, err error) {
	p := a.at(of.user)
	_, err = p.In(p.Writer()).ExecContext(ctx, giveUp, of.user, of.claim)
	if db.Answer(err) != db.AnswerDuplicate {
		return false, err
	}
	var held []byte
	err = p.In(p.Writer()).QueryRowContext(ctx, selectMade, of.user, of.claim).Scan(&held)
	return bytes.Equal(held, of.index[:]), err
}
