package product

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
)

const (
	claimLife = 30 * time.Minute

	selectWaiting = "SELECT product_id, seller_id, version, submitted_at FROM products__ WHERE stage = 'in_review' AND (claim_ends_at IS NULL OR claim_ends_at <= NOW(3)) " +
		"AND (submitted_at > ? OR submitted_at = ? AND product_id > ?) ORDER BY submitted_at, product_id LIMIT ?"
	selectClaim  = "SELECT claimed_by, claim_ends_at > NOW(3) FROM products__ WHERE product_id = ?"
	claimProduct = "UPDATE products__ SET claimed_by = ?, claim_ends_at = NOW(3) + INTERVAL ? SECOND WHERE product_id = ?"
)

// Waiting is a product that waits for a review.
type Waiting struct {
	ID          ids.Product
	Seller      ids.Seller
	Version     int64
	SubmittedAt time.Time
}

// waiting are the products in review that nobody has claimed.
var waiting = queue.List[Waiting]{
	Name: "products", Table: "products", Statement: selectWaiting,
	Scan: func(row *sql.Rows, w *Waiting) error { return row.Scan(&w.ID, &w.Seller, &w.Version, &w.SubmittedAt) },
	At:   func(w *Waiting) queue.Cursor { return queue.Cursor{At: w.SubmittedAt, ID: int64(w.ID)} },
}

// Queue lists the products in review that nobody has claimed, those first that have waited longest. Next is zero after the last page.
func (p *Products) Queue(ctx context.Context, after queue.Cursor, limit int) (page []Waiting, next queue.Cursor, err error) {
	return waiting.Page(ctx, p.databases.All(shard.Products), after, limit)
}

// Claim keeps a product to a reviewer for a while. Who has it may claim it again.
func (p *Products) Claim(ctx context.Context, by Caller, id ids.Product) (Product, error) {
	of, _, err := p.judged(ctx, by, id)
	if err != nil {
		return Product{}, err
	}
	return once(ctx, p, shard.OfProduct(id), by, "claim_product", id, func(c *change) (Product, error) {
		l, _, err := c.reviewable(ctx, of, id)
		if err != nil {
			return Product{}, err
		}
		if err := c.put(ctx, "claim a review", claimProduct, by.User, int64(claimLife/time.Second), id); err != nil {
			return Product{}, err
		}
		c.why("product.claim", id, "")
		return l.Product, nil
	})
}

// Decision is what a reviewer decides.
type Decision struct {
	Approve bool
	Reason  string
}

// Decide approves a product that the caller has claimed, as of a version, or rejects it with a reason that its seller reads. What it lacks
// for shoppers is looked at again: the tree and the brands may have changed since.
func (p *Products) Decide(ctx context.Context, by Caller, id ids.Product, from web.Version, d Decision) (Product, error) {
	if err := audit.CheckReason(d.Reason); err != nil {
		return Product{}, err
	}
	of, brand, err := p.judged(ctx, by, id)
	if err != nil {
		return Product{}, err
	}
	tree, err := p.Tree(ctx, 0)
	if err != nil {
		return Product{}, err
	}
	asked := struct {
		Product ids.Product
		From    web.Version
		Decision
	}{id, from, d}
	return once(ctx, p, shard.OfProduct(id), by, "decide_product", asked, func(c *change) (Product, error) {
		l, claimed, err := c.reviewable(ctx, of, id)
		switch {
		case err != nil:
			return Product{}, err
		case !claimed:
			return Product{}, &problem.Problem{Kind: problem.WrongState, Detail: "claim the review first"}
		case l.Version != int64(from), l.Brand != brand.ID:
			return Product{}, web.ErrChanged
		}
		act, to := "product.reject", StageRejected
		if d.Approve {
			act, to = "product.approve", StageApproved
			if err := l.whole(tree, brand.State); err != nil {
				return Product{}, err
			}
		}
		done, err := c.moveProduct(ctx, l, to, byReview, d.Reason)
		c.why(act, id, d.Reason, audit.Change{Name: "stage", Before: StageInReview, After: to})
		return done, err
	})
}

// judged finds whose a product is and which brand it has, for somebody who may decide about it: nobody does about a product of a seller in
// which they are somebody. It is asked before a transaction, because sellers and brands may be in another database.
func (p *Products) judged(ctx context.Context, by Caller, id ids.Product) (of ids.Seller, brand Brand, err error) {
	if of, brand, err = p.outline(ctx, id); err != nil {
		return 0, Brand{}, err
	}
	switch _, err := p.sellers.Admit(ctx, seller.Reader{User: by.User}, of); {
	case err == nil:
		return 0, Brand{}, &problem.Problem{Kind: ownProduct}
	case !isRefusal(err):
		return 0, Brand{}, err
	}
	return of, brand, nil
}

// reviewable locks a product in review that nobody else has claimed, and tells whether the caller has.
func (c *change) reviewable(ctx context.Context, of ids.Seller, id ids.Product) (l *locked, claimed bool, err error) {
	l, err = c.product(ctx, of, id)
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

// isRefusal reports whether an error is a problem of the request, and no trouble.
func isRefusal(err error) bool {
	p := new(problem.Problem)
	return errors.As(err, &p)
}
