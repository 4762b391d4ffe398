package seller

import (
	"context"
	"database/sql"
	"maps"
	"net/http"
	"net/netip"
	"strings"

	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

const (
	insertHold = "INSERT INTO seller_holds__ (seller_id) VALUES (?)"
	deleteHold = "DELETE FROM seller_holds__ WHERE seller_id = ?"
)

// Assessor is asked about who applies.
type Assessor interface {
	assess.Assessor
	// OfNetwork tells what is known of where somebody comes from.
	OfNetwork(ctx context.Context, address netip.Addr) assess.Facts
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

var (
	applicationRefused = problem.NewKind(problem.Kind{
		Code: "application_refused", Status: http.StatusForbidden, Title: "The shop does not take this application.",
	})

	errDenied = &problem.Problem{Kind: applicationRefused} // it does not say why: who tries again would know what to say
	errHeld   = &problem.Problem{Kind: problem.WrongState, Detail: "a person has to decide first who may apply"}
)

func applying(id ids.Seller) assess.Case {
	return assess.Case{Moment: assess.Application, Subject: int64(id)}
}

// past is what became of the applications of a user so far.
type past struct{ applications, rejections int64 }

// assess answers whether a user may apply.
func (s *Sellers) assess(ctx context.Context, by Caller, id ids.Seller, a *Application, before past) (assess.Verdict, error) {
	f, err := s.accounts.Facts(ctx, by.User)
	if err != nil {
		return assess.Verdict{}, err
	}
	from := s.assessor.OfNetwork(ctx, by.Address)
	f.Number(assess.Applications, before.applications)
	f.Number(assess.Rejections, before.rejections)
	f.Word(assess.Country, a.Address.Country)
	maps.Copy(f.Numbers, from.Numbers)
	maps.Copy(f.Words, from.Words)
	v, err := s.assessor.Assess(ctx, applying(id), f)
	if err == nil && v.Answer == assess.Deny {
		err = errDenied
	}
	return v, err
}

// note keeps the answer with the application. One that is held is reviewed once a person has decided.
func (c *change) note(ctx context.Context, id ids.Seller, v assess.Verdict) error {
	if err := c.s.assessor.Note(ctx, c.tx, applying(id), v); err != nil || v.Answer != assess.Hold {
		return err
	}
	if _, err := c.in.ExecContext(ctx, insertHold, id); err != nil {
		return db.WriteError("hold an application", err)
	}
	return nil
}

// Asker says what follows from the reviews of assessments of applications.
func (s *Sellers) Asker() assess.Asker {
	return assess.Asker{
		Object: func(seller int64) string { return "seller:" + ids.Seller(seller).String() },
		At:     func(seller int64) shard.Shard { return shardOf(ids.Seller(seller)) },

		Free: true, Mine: s.mine, Decided: s.decided,
	}
}

// mine reports whether an application is that of who would decide about it.
func (s *Sellers) mine(ctx context.Context, tx *sql.Tx, p place.Place, subject int64, by audit.Author) (bool, error) {
	c := &change{s: s, p: p, tx: tx, in: p.In(tx), by: Caller{Author: by}}
	l, err := c.lock(ctx, ids.Seller(subject))
	if err != nil {
		return false, err
	}
	return c.own(ctx, l)
}

// own reports whether the author of a change has applied for the seller, or is one of its people. An admin has a key of a file, and need be
// no user.
func (c *change) own(ctx context.Context, l *locked) (bool, error) {
	kind, who, _ := strings.Cut(c.by.Actor, ":")
	if kind == "admin" {
		return false, nil
	}
	user, _ := ids.Parse(who)
	role, err := c.role(ctx, l.ID, ids.User(user))
	return role != "" || l.applicant == ids.User(user), err
}

// decided lets an application be reviewed that was held, or rejects one whose user may not apply. A seller that has opened stays as it
// is: two people have reviewed it, and ops suspend it.
func (s *Sellers) decided(ctx context.Context, tx *sql.Tx, p place.Place, o assess.Outcome) error {
	id, c := ids.Seller(o.Subject), &change{s: s, p: p, tx: tx, in: p.In(tx), by: Caller{Author: o.By}}
	l, err := c.lock(ctx, id)
	if err != nil {
		return err
	}
	switch own, err := c.own(ctx, l); {
	case err != nil:
		return err
	case own:
		return errOwn
	}
	if _, err := c.in.ExecContext(ctx, deleteHold, id); err != nil {
		return db.WriteError("end a hold", err)
	}
	if o.Allowed || l.State != StateApplied && l.State != StateInReview {
		return nil
	}
	if l.State == StateApplied {
		if err := c.move(ctx, l, StateInReview, byReview, ""); err != nil {
			return err
		}
	}
	if err := c.move(ctx, l, StateRejected, byReview, o.Reason); err != nil {
		return err
	}
	if _, err := c.in.ExecContext(ctx, unclaimSeller, id); err != nil {
		return db.WriteError("end a claim", err)
	}
	return nil
}
