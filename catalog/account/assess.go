package account

import (
	"context"
	"database/sql"
	"net/http"
	"net/netip"

	"sluice/catalog/account/audit"
	"sluice/catalog/account/internal/rows"
	"sluice/catalog/assess"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

// Assessor is asked about who signs up.
type Assessor interface {
	assess.Assessor
	// OfNetwork tells what is known of where somebody comes from.
	OfNetwork(ctx context.Context, address netip.Addr) assess.Facts
	// CountUser counts a user who came from there.
	CountUser(ctx context.Context, address netip.Addr)
}

// everybody is an assessor that lets everybody pass, and keeps no answer.
type everybody struct{}

// Assess implements Assessor.
func (everybody) Assess(context.Context, assess.Case, assess.Facts) (assess.Verdict, error) {
	return assess.Verdict{Answer: assess.Allow}, nil
}

// Note implements Assessor.
func (everybody) Note(context.Context, *sql.Tx, assess.Case, assess.Verdict) error { return nil }

// OfNetwork implements Assessor.
func (everybody) OfNetwork(context.Context, netip.Addr) (f assess.Facts) { return f }

// CountUser implements Assessor.
func (everybody) CountUser(context.Context, netip.Addr) {}

var (
	registrationRefused = problem.NewKind(problem.Kind{
		Code: "registration_refused", Status: http.StatusForbidden, Title: "The shop does not take this registration.",
	})

	errDenied = &problem.Problem{Kind: registrationRefused} // it does not say why: who makes users by a program would learn how
)

func signUp(user ids.User) assess.Case {
	return assess.Case{Moment: assess.SignUp, Subject: int64(user)}
}

// assess answers whether somebody may become a user. Who has no address has no domain of one.
func (a *Accounts) assess(ctx context.Context, by Caller, user ids.User, home Home, domain string) (assess.Verdict, error) {
	f := a.assessor.OfNetwork(ctx, by.Address)
	if domain != "" {
		f.Word(assess.MailDomain, domain)
	}
	f.Word(assess.Region, home.Region)
	f.Word(assess.Locale, home.Locale)
	v, err := a.assessor.Assess(ctx, signUp(user), f)
	if err == nil && v.Answer == assess.Deny {
		err = errDenied
	}
	return v, err
}

// stateAfter is the state of a user who signs up: who has to wait for a person is locked until then.
func stateAfter(v assess.Verdict) State {
	if v.Answer == assess.Hold {
		return StateLocked
	}
	return StateActive
}

// Asker says what follows from the reviews of sign-ups.
func (a *Accounts) Asker() assess.Asker {
	return assess.Asker{Object: func(user int64) string { return audit.Of("user", user) }, At: shard.OfUser, Users: true, Decided: a.decided}
}

// decided unlocks who had to wait and may go on, and locks who went on and may not.
func (a *Accounts) decided(ctx context.Context, tx *sql.Tx, p place.Place, o assess.Outcome) error {
	user := ids.User(o.Subject)
	from, to, kind := StateLocked, StateActive, eventUnlocked
	switch {
	case o.Allowed: // also one that was denied before
	case o.Was == assess.Challenge:
		from, to, kind = StateActive, StateLocked, eventLocked
	default:
		return nil // it stays locked
	}
	if _, err := lock(ctx, p.In(tx), user); err != nil {
		return err
	}
	moved, err := rows.New(p.In(tx)).MoveUser(ctx, rows.MoveUserParams{UserID: user, FromState: string(from), ToState: string(to)})
	switch {
	case err != nil:
		return db.WriteError("lock or unlock a user", err)
	case moved == 0: // it is erased, or somebody else has locked it
		return nil
	}
	if to == StateLocked {
		all, err := a.sessionIDs(ctx, p.In(tx), selectOthers, user, 0)
		if err == nil {
			err = a.finishSessions(ctx, tx, p, user, all)
		}
		if err != nil {
			return err
		}
	}
	return tell(ctx, p, tx, user, kind, event{State: to})
}
