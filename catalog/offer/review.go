package offer

import (
	"context"
	"database/sql"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
)

const (
	claimLife = 30 * time.Minute

	selectWaiting = "SELECT offer_id, seller_id, version, submitted_at FROM offers__ WHERE stage = 'in_review' AND (claim_ends_at IS NULL OR claim_ends_at <= NOW(3)) " +
		"AND (submitted_at > ? OR submitted_at = ? AND offer_id > ?) ORDER BY submitted_at, offer_id LIMIT ?"
	selectClaim = "SELECT claimed_by, claim_ends_at > NOW(3) FROM offers__ WHERE offer_id = ?"
	claimOffer  = "UPDATE offers__ SET claimed_by = ?, claim_ends_at = NOW(3) + INTERVAL ? SECOND WHERE offer_id = ?"
)

// Waiting is an offer that waits for a review.
type Waiting struct {
	ID          ids.Offer
	Seller      ids.Seller
	Version     int64
	SubmittedAt time.Time
}

// waiting are the offers in review that nobody has claimed.
var waiting = queue.List[Waiting]{
	Name: "offers", Table: "offers", Statement: selectWaiting,
	Scan: func(row *sql.Rows, w *Waiting) error { return row.Scan(&w.ID, &w.Seller, &w.Version, &w.SubmittedAt) },
	At:   func(w *Waiting) queue.Cursor { return queue.Cursor{At: w.SubmittedAt, ID: int64(w.ID)} },
}

// Queue lists the offers in review that nobody has claimed, those first that have waited longest. Next is zero after the last page.
func (o *Offers) Queue(ctx context.Context, after queue.Cursor, limit int) (page []Waiting, next queue.Cursor, err error) {
	return waiting.Page(ctx, o.databases.All(shard.Values), after, limit)
}

// Claim keeps an offer to a reviewer for a while. Who has it may claim it again.
func (o *Offers) Claim(ctx context.Context, by Caller, id ids.Offer) (Offer, error) {
	if _, err := o.judged(ctx, by, id); err != nil {
		return Offer{}, err
	}
	return once(ctx, o, shardOf(id), by, "claim_offer", id, func(c *change) (Offer, error) {
		l, _, err := c.reviewable(ctx, id)
		if err != nil {
			return Offer{}, err
		}
		if err := c.put(ctx, "claim a review", claimOffer, by.User, int64(claimLife/time.Second), id); err != nil {
			return Offer{}, err
		}
		c.why("offer.claim", id, "")
		return l.Offer, nil
	})
}

// Decision is what a reviewer decides.
type Decision struct {
	Approve bool
	Reason  string
}

// Decide approves an offer that the caller has claimed, as of a version, or rejects it with a reason that its seller reads. Its SKUs and its
// time are looked at again: they may have changed since.
func (o *Offers) Decide(ctx context.Context, by Caller, id ids.Offer, from web.Version, d Decision) (Offer, error) {
	if err := audit.CheckReason(d.Reason); err != nil {
		return Offer{}, err
	}
	seen, err := o.judged(ctx, by, id)
	if err != nil {
		return Offer{}, err
	}
	lacks, err := o.lacks(ctx, seen.Seller, &seen.Content)
	if err != nil {
		return Offer{}, err
	}
	asked := struct {
		Offer ids.Offer
		From  web.Version
		Decision
	}{id, from, d}
	return once(ctx, o, shardOf(id), by, "decide_offer", asked, func(c *change) (Offer, error) {
		l, claimed, err := c.reviewable(ctx, id)
		switch {
		case err != nil:
			return Offer{}, err
		case !claimed:
			return Offer{}, &problem.Problem{Kind: problem.WrongState, Detail: "claim the review first"}
		case l.Version != int64(from), seen.Version != l.Version:
			return Offer{}, web.ErrChanged
		}
		act, to := "offer.reject", StageRejected
		if d.Approve {
			act, to = "offer.approve", StageApproved
			if err := c.whole(ctx, l, lacks); err != nil {
				return Offer{}, err
			}
		}
		done, err := c.move(ctx, l, to, byReview, d.Reason)
		c.why(act, id, d.Reason, audit.Change{Name: "stage", Before: StageInReview, After: to})
		return done, err
	})
}

// reviewable locks an offer in review that nobody else has claimed, and tells whether the caller has.
func (c *change) reviewable(ctx context.Context, id ids.Offer) (l *locked, claimed bool, err error) {
	l, err = c.offer(ctx, id)
	switch {
	case err != nil:
		return nil, false, err
	case l.Stage != StageInReview:
		return nil, false, wrongStage(l.Stage)
	}
	var who sql.Null[ids.User]
	var lasts sql.NullBool
	if err := c.in.QueryRowContext(ctx, selectClaim, id).Scan(&who, &lasts); err != nil {
		return nil, false, db.WriteError("look for a claim", err)
	}
	if lasts.Bool && who.V != c.by.User {
		return nil, false, &problem.Problem{Kind: reviewClaimed}
	}
	return l, lasts.Bool, nil
}
