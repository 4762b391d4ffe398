package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

const selectIdentity = "SELECT 1 FROM identities__ WHERE user_id = ? AND value_index = ?"

// proven is an identity that somebody has shown to be theirs.
type proven struct {
	identity        // its user is who becomes one if the identity is nobody's
	value    string // what its user sees of it
	email    Email  // an address that is shown to be theirs too, or empty
	spent    bool   // the same request has used what has shown it, and both are forgotten
	Home

	// use notes in a transaction in the place of that user that what has shown it is used, by this request or its repetitions. It forgets
	// the value and the address unless a repetition may need them.
	use func(ctx context.Context, tx *sql.Tx, p place.Place, forget bool) error
}

// enterBy begins a session of the user who has an identity, or asks for the second factor. If nobody has it, a user is made who does.
func (a *Accounts) enterBy(ctx context.Context, by Caller, who proven) (SignedIn, error) {
	for range 2 { // the second time, because somebody else was first, or a claim was nobody's
		held, err := a.claimed(ctx, who.index)
		owner, claim := held.user, held.claim
		if err == nil && owner == who.user { // the same request has made the user before, or has stopped
			p := a.at(owner)
			if err = a.holds(ctx, p.In(p.Writer()), owner, who.index); errors.Is(err, errNotHeld) {
				owner, err = 0, nil
			}
		}
		if err == nil && owner == 0 {
			owner, err = who.user, a.become(ctx, by, who)
		} else if err == nil {
			p := a.at(who.user)
			_, err = p.Write(ctx, "proof of an identity", func(tx *sql.Tx) error { return who.use(ctx, tx, p, held.final) })
		}
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return SignedIn{}, err
		}
		in, err := a.enterHeld(ctx, by, owner, who.index)
		if !errors.Is(err, errNotHeld) || claim == 0 {
			return in, err
		}
		// Another registration stopped after its claim, or this user has given the identity up. Who has just shown that it is
		// theirs need not wait for a sweep.
		of := who.identity
		of.user, of.claim = owner, claim
		if err := a.release(ctx, of); err != nil {
			return SignedIn{}, err
		}
	}
	return SignedIn{}, errNotHeld
}

// errSecond says that the user has a second factor.
var errSecond = errors.New("the user has a second factor")

// enterHeld begins a session of a user who has an identity, or asks for the second factor.
func (a *Accounts) enterHeld(ctx context.Context, by Caller, user ids.User, index Index) (in SignedIn, err error) {
	of, err := a.credentialOf(ctx, user)
	if err != nil {
		return in, err
	}
	in.Tokens, err = a.begin(ctx, by, of, provedByIdentity, func(in place.Conn, held locked) error {
		if err := a.holds(ctx, in, user, index); err != nil || !held.second {
			return err
		}
		return errSecond
	})
	if !errors.Is(err, errSecond) {
		return in, err
	}
	asked, err := a.askSecond(ctx, by, of, "")
	return SignedIn{Second: &asked}, err
}

// errNotHeld says that an identity is claimed for a user who does not have it.
var errNotHeld = fmt.Errorf("the identity is being given to another user: %w", stock.ErrNotApplied)

// holds returns errNotHeld unless a user has an identity.
func (a *Accounts) holds(ctx context.Context, in place.Conn, user ids.User, index Index) error {
	var one int
	err := in.QueryRowContext(ctx, selectIdentity, user, index[:]).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errNotHeld
	case err != nil:
		return db.WriteError("read identity", err)
	}
	return nil
}

// become makes the user who has an identity, once.
func (a *Accounts) become(ctx context.Context, by Caller, who proven) error {
	if who.spent { // the user has given it up since, or it was another one's
		return errCode
	}
	if err := a.isNew(ctx, who.email); err != nil {
		return err
	}
	verdict, err := a.assess(ctx, by, who.user, who.Home, who.email.Domain())
	if err != nil {
		return err
	}
	key, err := a.personal.Make(ctx, int64(who.user))
	if err != nil {
		return err
	}
	mine, err := a.claim(ctx, who.identity, who.value, key.Box)
	if err != nil {
		return err
	}
	p := a.at(mine.user)
	_, err = p.Write(ctx, "user", func(tx *sql.Tx) error {
		if err := who.use(ctx, tx, p, true); err != nil {
			return err
		}
		if err := a.holds(ctx, p.In(tx), mine.user, mine.index); !errors.Is(err, errNotHeld) {
			return err // the same request has made the user before
		}
		err := a.makeUser(ctx, tx, p, key, who.Home, mine, verdict)
		if db.Answer(err) == db.AnswerDuplicate {
			err = errCode // and the user has given the identity up since
		}
		return err
	})
	if err != nil {
		return err
	}
	a.assessor.CountUser(ctx, by.Address)
	a.finalise(ctx, mine)
	return nil
}
