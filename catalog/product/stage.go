package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	moveProduct = "UPDATE products__ SET stage = ?, version = version + 1, submitted_at = IF(?, NOW(3), NULL), " +
		"claimed_by = NULL, claim_ends_at = NULL WHERE product_id = ? AND stage = ?"
	selectOutline = "SELECT seller_id, brand_id FROM products__ WHERE product_id = ?"
)

// MoveProduct makes a move of the seller: to a review, to a draft again, to shoppers and from them, and to the archive.
func (p *Products) MoveProduct(ctx context.Context, by Caller, of ids.Seller, id ids.Product, from web.Version, to Stage) (Product, error) {
	if err := p.sells(ctx, by, of); err != nil {
		return Product{}, err
	}
	_, brand, err := p.outline(ctx, id)
	if err != nil {
		return Product{}, err
	}
	tree, err := p.Tree(ctx, 0)
	if err != nil {
		return Product{}, err
	}
	asked := struct {
		Seller  ids.Seller
		Product ids.Product
		From    web.Version
		To      Stage
	}{of, id, from, to}
	return once(ctx, p, shard.OfProduct(id), by, "move_product", asked, func(c *change) (Product, error) {
		l, err := c.product(ctx, of, id)
		switch {
		case err != nil:
			return Product{}, err
		case l.Version != int64(from), l.Brand != brand.ID:
			return Product{}, web.ErrChanged
		}
		if to == StageInReview || to == StageListed {
			if err := l.whole(tree, brand.State); err != nil {
				return Product{}, err
			}
		}
		return c.moveProduct(ctx, l, to, bySeller, "")
	})
}

// OverruleProduct moves a product by ops or an admin, as of a version: from shoppers, or to the archive. The stage that it has already is a
// success.
func (p *Products) OverruleProduct(ctx context.Context, by Caller, id ids.Product, from web.Version, to Stage, reason string) (Product, error) {
	if err := audit.CheckReason(reason); err != nil {
		return Product{}, err
	}
	of, _, err := p.judged(ctx, by, id)
	if err != nil {
		return Product{}, err
	}
	asked := struct {
		Product ids.Product
		From    web.Version
		To      Stage
		Reason  string
	}{id, from, to, reason}
	return once(ctx, p, shard.OfProduct(id), by, "overrule_product", asked, func(c *change) (Product, error) {
		l, err := c.product(ctx, of, id)
		switch {
		case err != nil:
			return Product{}, err
		case l.Stage == to:
			return l.Product, nil
		case l.Version != int64(from):
			return Product{}, web.ErrChanged
		}
		before := l.Stage
		done, err := c.moveProduct(ctx, l, to, byOperator, reason)
		c.why("product.move", id, reason, audit.Change{Name: "stage", Before: before, After: to})
		return done, err
	})
}

// outline is whose a product is, which never changes, and the brand that it has: an active one without an id if it has none.
func (p *Products) outline(ctx context.Context, id ids.Product) (of ids.Seller, brand Brand, err error) {
	at := p.atProduct(id)
	var has sql.Null[ids.Brand]
	switch err = at.In(at.Writer()).QueryRowContext(ctx, selectOutline, id).Scan(&of, &has); {
	case errors.Is(err, sql.ErrNoRows):
		return 0, Brand{}, errUnknownProduct
	case err != nil:
		return 0, Brand{}, readError(at, "products", err)
	}
	brand, err = p.brandOr(ctx, has.V)
	return of, brand, err
}

// brandOr is a brand as of now. That of no brand is active, as far as a product has to do with it.
func (p *Products) brandOr(ctx context.Context, id ids.Brand) (Brand, error) {
	if id == 0 {
		return Brand{State: StateActive}, nil
	}
	return p.Brand(ctx, id, db.Never)
}

// whole refuses a product that lacks what shoppers cannot do without.
func (l *locked) whole(t *Tree, brand State) error {
	lacks := l.lacks(t, brand, l.texts, l.skus)
	if len(lacks) == 0 {
		return nil
	}
	var words []string
	for _, lack := range lacks {
		words = append(words, lack.String())
	}
	return &problem.Problem{Kind: incomplete, Detail: "it lacks " + strings.Join(words, ", ")}
}

// moveProduct moves a product to a stage, and tells why in its versions.
func (c *change) moveProduct(ctx context.Context, l *locked, to Stage, who by, reason string) (Product, error) {
	if !may(l.Stage, to, who) {
		return Product{}, wrongStage(l.Stage)
	}
	done, err := c.in.ExecContext(ctx, moveProduct, to, to == StageInReview, l.ID, l.Stage)
	if err != nil {
		return Product{}, db.WriteError("move product", err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return Product{}, fmt.Errorf("move product: %w: %d rows have the stage that was read under a lock, %w", stock.ErrNotApplied, n, err)
	}
	before, err1 := store(l.Stage)
	after, err2 := store(to)
	if err := errors.Join(err1, err2); err != nil {
		return Product{}, err
	}
	l.Stage, l.Version = to, l.Version+1
	if err := c.note(ctx, &l.Product, Changed{Part: PartStage, Before: before, After: after, Reason: reason}); err != nil {
		return Product{}, err
	}
	return c.changedProduct(ctx, l.Product)
}

func wrongStage(of Stage) error {
	return &problem.Problem{Kind: problem.WrongState, Detail: "the product is " + string(of)}
}

// why notes what the audit log gets of a decision.
func (c *change) why(act string, id ids.Product, reason string, changes ...audit.Change) {
	c.act = &audit.Act{Author: c.by.Author, Act: act, Object: "product:" + id.String(), Why: reason, Changes: changes}
}
