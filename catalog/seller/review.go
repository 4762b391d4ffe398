package seller

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
)

const (
	claimLife     = 30 * time.Minute
	approvalsWant = 2

	selectWaiting = "SELECT s.seller_id, s.state, s.version, s.applied_at, " + selectApprovers + " FROM sellers__ AS s " +
		"WHERE s.state IN ('applied', 'in_review') AND NOT EXISTS (SELECT 1 FROM seller_holds__ AS h WHERE h.seller_id = s.seller_id) AND (s.claim_ends_at IS NULL OR s.claim_ends_at <= NOW(3)) " +
		"AND (s.applied_at > ? OR s.applied_at = ? AND s.seller_id > ?) ORDER BY s.applied_at, s.seller_id LIMIT ?"
	selectReview = "SELECT s.state, s.version, s.applied_at, s.application, s.claimed_by, s.claim_ends_at, " + selectApprovers + " FROM sellers__ AS s WHERE s.seller_id = ?"
	// The people who have approved, with a comma between them.
	selectApprovers = "COALESCE((SELECT GROUP_CONCAT(a.user_id ORDER BY a.at) FROM seller_approvals__ AS a WHERE a.seller_id = s.seller_id), '')"
	selectHistory   = "SELECT at, COALESCE(from_state, ''), to_state, actor, reason FROM seller_history__ WHERE seller_id = ? ORDER BY version LIMIT 100"

	claimSeller    = "UPDATE sellers__ SET claimed_by = ?, claim_ends_at = NOW(3) + INTERVAL ? SECOND WHERE seller_id = ?"
	unclaimSeller  = "UPDATE sellers__ SET claimed_by = NULL, claim_ends_at = NULL WHERE seller_id = ?"
	insertApproval = "INSERT INTO seller_approvals__ (seller_id, user_id, reason, at) VALUES (?, ?, ?, NOW(3))"
	dropApproval   = "DELETE FROM seller_approvals__ WHERE seller_id = ? AND user_id = ?"
	selectApproved = "SELECT COALESCE(GROUP_CONCAT(user_id ORDER BY at), '') FROM seller_approvals__ WHERE seller_id = ?"
	countApprovals = "SELECT COUNT(*) FROM seller_approvals__ WHERE seller_id = ?"
)

// Waiting is an application that waits for a review.
type Waiting struct {
	Seller

	Approvals []ids.User // in their order
}

// cursor is where a seller is in a list.
func (s *Seller) cursor() queue.Cursor { return queue.Cursor{At: s.AppliedAt, ID: int64(s.ID)} }

// waiting are the applications that nobody has claimed and none is held.
var waiting = queue.List[Waiting]{
	Name: "seller", Table: "sellers", Statement: selectWaiting,
	Scan: func(row *sql.Rows, w *Waiting) error {
		var approvers string
		err := row.Scan(&w.ID, &w.State, &w.Version, &w.AppliedAt, &approvers)
		if err == nil {
			w.Approvals, err = users(approvers)
		}
		return err
	},
	At: func(w *Waiting) queue.Cursor { return w.cursor() },
}

// Queue lists the applications that nobody has claimed and none is held, the oldest first. Next is zero after the last page.
func (s *Sellers) Queue(ctx context.Context, after queue.Cursor, limit int) (page []Waiting, next queue.Cursor, err error) {
	return waiting.Page(ctx, s.databases.All(shard.Values), after, limit)
}

// users reads ids with a comma between them.
func users(list string) (all []ids.User, err error) {
	if list == "" {
		return nil, nil
	}
	for id := range strings.SplitSeq(list, ",") {
		n, ok := ids.Parse(id)
		if !ok {
			return nil, fmt.Errorf("%q is no list of users", list)
		}
		all = append(all, ids.User(n))
	}
	return all, nil
}

// Move is a line of a seller's history.
type Move struct {
	At            time.Time
	From, To      State // from is empty for the first one
	Actor, Reason string
}

// Review is all that a reviewer sees.
type Review struct {
	Waiting

	Application Application
	ClaimedBy   ids.User // 0: nobody
	ClaimEndsAt time.Time
	History     []Move
}

// Review shows a seller to reviewers.
func (s *Sellers) Review(ctx context.Context, id ids.Seller) (r Review, err error) {
	p := s.at(id)
	r.ID = id
	var sealed []byte
	var approvers string
	var by sql.Null[ids.User]
	var ends sql.NullTime
	err = p.In(p.Writer()).QueryRowContext(ctx, selectReview, id).Scan(&r.State, &r.Version, &r.AppliedAt, &sealed, &by, &ends, &approvers)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, errUnknown
	case err != nil:
		return r, readError(p, err)
	}
	r.ClaimedBy, r.ClaimEndsAt = by.V, ends.Time
	if r.Approvals, err = users(approvers); err != nil {
		return r, err
	}
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var m Move
		err := row.Scan(&m.At, &m.From, &m.To, &m.Actor, &m.Reason)
		r.History = append(r.History, m)
		return err
	}, selectHistory, id)
	if err != nil {
		return r, readError(p, err)
	}
	r.Application, err = s.open(id, sealed)
	return r, err
}

// Claim keeps an application to a reviewer for a while. Who has it may claim it again.
func (s *Sellers) Claim(ctx context.Context, by Caller, id ids.Seller) (Seller, error) {
	return s.once(ctx, id, by, "claim", nil, func(c *change) (Seller, error) {
		l, err := c.reviewable(ctx, id)
		if err != nil {
			return Seller{}, err
		}
		if l.State == StateApplied {
			if err := c.move(ctx, l, StateInReview, byReview, ""); err != nil {
				return Seller{}, err
			}
		}
		if _, err := c.in.ExecContext(ctx, claimSeller, by.User, int64(claimLife/time.Second), id); err != nil {
			return Seller{}, db.WriteError("claim a review", err)
		}
		c.privileged(l, "seller.claim", "")
		return l.Seller, nil
	})
}

// reviewable locks a seller that the caller may review.
func (c *change) reviewable(ctx context.Context, id ids.Seller) (*locked, error) {
	l, err := c.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	role, err := c.role(ctx, id, c.by.User)
	switch {
	case err != nil:
		return nil, err
	case role != "" || l.applicant == c.by.User:
		return nil, errOwn
	case l.State != StateApplied && l.State != StateInReview:
		return nil, wrongState("the seller is %s", l.State)
	case l.held:
		return nil, errHeld
	case l.claimed && l.reviewer != c.by.User:
		return nil, errClaimed
	}
	return l, nil
}

// Decision is what a reviewer decides.
type Decision struct {
	Approve bool
	Reason  string
}

// Decide approves or rejects an application that the caller has claimed, as of a version. A seller opens by the approvals of two people
// who may still review.
func (s *Sellers) Decide(ctx context.Context, by Caller, id ids.Seller, from web.Version, d Decision) (Seller, error) {
	if err := audit.CheckReason(d.Reason); err != nil {
		return Seller{}, err
	}
	var left []ids.User
	if d.Approve {
		var err error
		if left, err = s.left(ctx, id); err != nil {
			return Seller{}, err
		}
	}
	asked := struct {
		From web.Version
		Decision
	}{from, d}
	return s.once(ctx, id, by, "decide", asked, func(c *change) (Seller, error) {
		l, err := c.reviewable(ctx, id)
		switch {
		case err != nil:
			return Seller{}, err
		case !l.claimed:
			return Seller{}, wrongState("claim the review first")
		case l.Version != int64(from):
			return Seller{}, web.ErrChanged
		}
		act, before := "seller.reject", l.State
		if d.Approve {
			act = "seller.approve"
			err = c.approve(ctx, l, left, d.Reason)
		} else {
			err = c.move(ctx, l, StateRejected, byReview, d.Reason)
		}
		if err != nil {
			return Seller{}, err
		}
		if _, err := c.in.ExecContext(ctx, unclaimSeller, id); err != nil {
			return Seller{}, db.WriteError("end a claim", err)
		}
		c.privileged(l, act, d.Reason, audit.Change{Name: "state", Before: before, After: l.State})
		return l.Seller, nil
	})
}

// left finds who has approved an application and may not review any more. It asks before the transaction, because accounts may be in
// another database: nobody approves meanwhile but who has the claim.
func (s *Sellers) left(ctx context.Context, id ids.Seller) (left []ids.User, err error) {
	p := s.at(id)
	var list string
	if err := p.In(p.Writer()).QueryRowContext(ctx, selectApproved, id).Scan(&list); err != nil {
		return nil, readError(p, err)
	}
	all, err := users(list)
	if err != nil {
		return nil, err
	}
	for _, user := range all {
		held, err := s.accounts.Granted(ctx, int64(user))
		if err != nil {
			return nil, err
		}
		if held&reviewers == 0 {
			left = append(left, user)
		}
	}
	return left, nil
}

// approve notes an approval, and opens the seller if it is enough. The approvals of those who have left do not count.
func (c *change) approve(ctx context.Context, l *locked, left []ids.User, reason string) error {
	for _, user := range left {
		if _, err := c.in.ExecContext(ctx, dropApproval, l.ID, user); err != nil {
			return db.WriteError("drop an approval", err)
		}
	}
	_, err := c.in.ExecContext(ctx, insertApproval, l.ID, c.by.User, reason)
	switch {
	case db.Answer(err) == db.AnswerDuplicate:
		return errSecond
	case err != nil:
		return db.WriteError("approve", err)
	}
	var have int
	if err := c.in.QueryRowContext(ctx, countApprovals, l.ID).Scan(&have); err != nil {
		return db.WriteError("count approvals", err)
	}
	if have < approvalsWant {
		return nil
	}
	return c.move(ctx, l, StateOpen, byReview, reason)
}

// Move suspends a seller, opens it again, or closes it, as of a version. The state that it has already is a success.
func (s *Sellers) Move(ctx context.Context, by Caller, id ids.Seller, from web.Version, to State, reason string) (Seller, error) {
	if err := audit.CheckReason(reason); err != nil {
		return Seller{}, err
	}
	asked := struct {
		From   web.Version
		To     State
		Reason string
	}{from, to, reason}
	return s.once(ctx, id, by, "move", asked, func(c *change) (Seller, error) {
		l, err := c.lock(ctx, id)
		if err != nil {
			return Seller{}, err
		}
		switch role, err := c.role(ctx, id, c.by.User); {
		case err != nil:
			return Seller{}, err
		case role != "" || l.applicant == c.by.User:
			return Seller{}, errOwn
		case l.State == to:
			return l.Seller, nil
		case l.Version != int64(from):
			return Seller{}, web.ErrChanged
		}
		before := l.State
		if err := c.move(ctx, l, to, byOperator, reason); err != nil {
			return Seller{}, err
		}
		c.privileged(l, "seller.move", reason, audit.Change{Name: "state", Before: before, After: to})
		return l.Seller, nil
	})
}
