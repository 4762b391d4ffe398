package offer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	moveOffer = "UPDATE offers__ SET stage = ?, version = version + 1, submitted_at = IF(?, NOW(3), NULL), claimed_by = NULL, claim_ends_at = NULL " +
		"WHERE offer_id = ? AND stage = ?"
	insertMove = "INSERT INTO offer_moves__ (offer_id, version, was, became, at, actor, reason) VALUES (?, ?, ?, ?, NOW(3), ?, ?)"
	isOver     = "SELECT closes_at <= NOW(3) FROM offers__ WHERE offer_id = ?"
)

// Move makes a move of the seller: to a review, to a draft again, and away.
func (o *Offers) Move(ctx context.Context, by Caller, of ids.Seller, id ids.Offer, from web.Version, to Stage) (Offer, error) {
	if err := o.sells(ctx, by, of); err != nil {
		return Offer{}, err
	}
	lacks := ""
	if to == StageInReview {
		seen, err := o.outline(ctx, id)
		if err == nil && seen.Seller == of {
			lacks, err = o.lacks(ctx, of, &seen.Content)
		}
		if err != nil {
			return Offer{}, err
		}
	}
	asked := struct {
		Seller ids.Seller
		Offer  ids.Offer
		From   web.Version
		To     Stage
	}{of, id, from, to}
	return once(ctx, o, shardOf(id), by, "move_offer", asked, func(c *change) (Offer, error) {
		l, err := c.ofSeller(ctx, of, id, from)
		switch {
		case err != nil:
			return Offer{}, err
		case may(l.Stage, to, bySeller) && to == StageInReview:
			if err := c.whole(ctx, l, lacks); err != nil {
				return Offer{}, err
			}
		}
		return c.move(ctx, l, to, bySeller, "")
	})
}

// Overrule moves an offer by ops or an admin, as of a version: away. The stage that it has already is a success.
func (o *Offers) Overrule(ctx context.Context, by Caller, id ids.Offer, from web.Version, to Stage, reason string) (Offer, error) {
	if err := audit.CheckReason(reason); err != nil {
		return Offer{}, err
	}
	if _, err := o.judged(ctx, by, id); err != nil {
		return Offer{}, err
	}
	asked := struct {
		Offer  ids.Offer
		From   web.Version
		To     Stage
		Reason string
	}{id, from, to, reason}
	return once(ctx, o, shardOf(id), by, "overrule_offer", asked, func(c *change) (Offer, error) {
		l, err := c.offer(ctx, id)
		switch {
		case err != nil:
			return Offer{}, err
		case l.Stage == to:
			return l.Offer, nil
		case l.Version != int64(from):
			return Offer{}, web.ErrChanged
		}
		before := l.Stage
		done, err := c.move(ctx, l, to, byOperator, reason)
		c.why("offer.move", id, reason, audit.Change{Name: "stage", Before: before, After: to})
		return done, err
	})
}

// outline is an offer as of now, for what is asked of others before a transaction.
func (o *Offers) outline(ctx context.Context, id ids.Offer) (of Offer, err error) {
	at := o.databases.At(shardOf(id))
	switch err = scan(at.In(at.Writer()).QueryRowContext(ctx, selectOffer, id), id, &of); {
	case errors.Is(err, sql.ErrNoRows):
		return Offer{}, errUnknownOffer
	case err != nil:
		return Offer{}, readError(at, "offers", err)
	}
	return of, nil
}

// judged finds an offer for somebody who may decide about it: nobody does about one of a seller in which they are somebody. It is asked before
// a transaction, because sellers may be in another database.
func (o *Offers) judged(ctx context.Context, by Caller, id ids.Offer) (of Offer, err error) {
	if of, err = o.outline(ctx, id); err != nil {
		return Offer{}, err
	}
	switch _, err := o.sellers.Admit(ctx, seller.Reader{User: by.User}, of.Seller); {
	case err == nil:
		return Offer{}, &problem.Problem{Kind: ownOffer}
	case !isRefusal(err):
		return Offer{}, err
	}
	return of, nil
}

// whole refuses an offer that lacks what shoppers need, or whose time is over.
func (c *change) whole(ctx context.Context, l *locked, lacks string) error {
	var over bool
	if err := c.in.QueryRowContext(ctx, isOver, l.ID).Scan(&over); err != nil {
		return db.WriteError("look at the time of an offer", err)
	}
	if over {
		lacks = "its time is over"
	}
	if lacks != "" {
		return &problem.Problem{Kind: incomplete, Detail: lacks}
	}
	return nil
}

// move moves an offer to a stage, and writes down who did it and why.
func (c *change) move(ctx context.Context, l *locked, to Stage, who by, reason string) (Offer, error) {
	if !may(l.Stage, to, who) {
		return Offer{}, wrongStage(l.Stage)
	}
	done, err := c.in.ExecContext(ctx, moveOffer, to, to == StageInReview, l.ID, l.Stage)
	if err != nil {
		return Offer{}, db.WriteError("move offer", err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return Offer{}, fmt.Errorf("move offer: %w: %d rows have the stage that was read under a lock, %w", stock.ErrNotApplied, n, err)
	}
	before := l.Stage
	l.Stage, l.Version = to, l.Version+1
	if err := c.put(ctx, "write a move", insertMove, l.ID, l.Version, before, to, c.by.Actor, reason); err != nil {
		return Offer{}, err
	}
	return l.Offer, c.publish(ctx, &l.Offer)
}

// why notes what the audit log gets of a decision.
func (c *change) why(act string, id ids.Offer, reason string, changes ...audit.Change) {
	c.act = &audit.Act{Author: c.by.Author, Act: act, Object: "offer:" + id.String(), Why: reason, Changes: changes}
}

// isRefusal reports whether an error is a problem of the request, and no trouble.
func isRefusal(err error) bool {
	p := new(problem.Problem)
	return errors.As(err, &p)
}
