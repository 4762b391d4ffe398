package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	insertProduct = "INSERT INTO products__ (product_id, seller_id, stage, category_id, brand_id, content, made_at) VALUES (?, ?, ?, ?, ?, ?, NOW(3))"
	// A seller's people reach rows of their own seller only.
	lockProduct   = "SELECT stage, version, content, made_at FROM products__ WHERE product_id = ? AND seller_id = ? FOR UPDATE"
	updateContent = "UPDATE products__ SET category_id = ?, brand_id = ?, content = ? WHERE product_id = ?"
	countProduct  = "UPDATE products__ SET version = version + 1 WHERE product_id = ? AND version = ?"

	putText    = "REPLACE INTO product_texts__ (product_id, locale, title, description) VALUES (?, ?, ?, ?)"
	deleteText = "DELETE FROM product_texts__ WHERE product_id = ? AND locale = ?"

	putSKU = "REPLACE INTO product_skus__ (product_id, n, state, seller_code, options, grams, length_mm, width_mm, height_mm) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

	// Moves are kept: they say who let shoppers see a product, and why.
	deleteChanges = "DELETE FROM product_changes__ WHERE product_id = ? AND version <= ? AND part <> 'stage'"
	insertChanges = "INSERT INTO product_changes__ (product_id, version, part, was, became, at, actor, reason) VALUES "
	changeRow     = "(?, ?, ?, ?, ?, NOW(3), ?, ?)"
	insertChange  = insertChanges + changeRow
)

// skusMax is how many SKUs a product has, with the archived ones. The ids of products have room for more.
const skusMax = 500

// Product is a product as its seller sees it, without its texts and its SKUs.
type Product struct {
	Content

	ID      ids.Product `json:"product_id"`
	Seller  ids.Seller  `json:"seller_id"`
	Stage   Stage       `json:"stage"`
	Version int64       `json:"version"` // how often it was changed
	MadeAt  time.Time   `json:"made_at"`
}

// The kinds of refusals.
var errUnknownProduct = &problem.Problem{Kind: unknownProduct}

// shardOfNew is where a new product is: a repetition of the request finds the place of the first one.
func shardOfNew(id ids.Seller, by Caller) shard.Shard {
	drawn := shard.OfValue(fmt.Sprintf("%s %d %s", id, by.User, by.Key))
	return shard.Shard{Kind: shard.Products, Number: drawn.Number}
}

// MakeProduct makes the draft of a product.
func (p *Products) MakeProduct(ctx context.Context, by Caller, of ids.Seller, content Content) (Product, error) {
	if problem := content.check(); problem != nil {
		return Product{}, problem
	}
	if err := p.sells(ctx, by, of); err != nil {
		return Product{}, err
	}
	common, err := p.commonOf(ctx, content.Brand)
	if err != nil {
		return Product{}, err
	}
	in := shardOfNew(of, by)
	fault := common.fits(&content, 0)
	if fault == nil && len(content.Media) > 0 {
		fault = &problem.Problem{Kind: unknownMedia, Pointer: "/media_ids/0"} // what is not there yet has none
	}
	var id ids.Product
	if fault == nil {
		if id, err = p.drawProduct(ctx, in); err != nil { // a repetition loses it: a range has enough
			return Product{}, err
		}
	}
	asked := struct {
		Seller  ids.Seller
		Content Content
	}{of, content}
	return once(ctx, p, in, by, "make_product", asked, func(c *change) (Product, error) {
		if fault != nil { // of a repetition nobody asks
			return Product{}, fault
		}
		stored, err := store(content)
		if err != nil {
			return Product{}, err
		}
		if err := c.put(ctx, "write product", insertProduct, id, of, StageDraft, content.Category, brandOrNull(content.Brand), []byte(stored)); err != nil {
			return Product{}, err
		}
		l, err := c.product(ctx, of, id)
		if err != nil {
			return Product{}, err
		}
		if err := c.note(ctx, &l.Product, Changed{Part: PartContent, After: stored}); err != nil {
			return Product{}, err
		}
		return c.changedProduct(ctx, l.Product)
	})
}

// common is what is the same for the whole shop, as far as content has to do with it. It is read before a transaction, because it may be in
// another database.
type common struct {
	tree  *Tree
	brand Brand
}

func (p *Products) commonOf(ctx context.Context, brand ids.Brand) (c common, err error) {
	if c.tree, err = p.Tree(ctx, 0); err != nil {
		return common{}, err
	}
	if c.brand, err = p.brandOr(ctx, brand); errors.Is(err, errUnknownBrand) {
		err = &problem.Problem{Kind: unknownBrand, Pointer: "/brand_id"}
	}
	return c, err
}

// fits refuses content that the tree does not know, or that gets a brand which is archived. One that had it keeps it.
func (c common) fits(content *Content, had ids.Brand) error {
	if content.Brand != had && c.brand.State != StateActive {
		return &problem.Problem{Kind: problem.WrongState, Pointer: "/brand_id", Detail: "the brand is archived"}
	}
	return content.in(c.tree)
}

// ChangeProduct changes the content of a product.
func (p *Products) ChangeProduct(ctx context.Context, by Caller, of ids.Seller, id ids.Product, from web.Version, content Content) (Product, error) {
	if problem := content.check(); problem != nil {
		return Product{}, problem
	}
	common, err := p.commonOf(ctx, content.Brand)
	if err != nil {
		return Product{}, err
	}
	return p.change(ctx, by, "change_product", of, id, from, content, func(l *locked) error {
		if err := l.keeps(&content); err != nil {
			return err
		}
		if err := common.fits(&content, l.Brand); err != nil {
			return err
		}
		return l.setContent(ctx, content)
	})
}

// SetText says what a product is called in a locale.
func (p *Products) SetText(ctx context.Context, by Caller, of ids.Seller, id ids.Product, from web.Version, locale string, to Text) (Product, error) {
	if problem := to.check(); problem != nil {
		return Product{}, problem
	}
	if !localeForm.MatchString(locale) {
		return Product{}, malformed("", "want a locale such as de or pt-BR")
	}
	asked := struct {
		Locale string
		To     Text
	}{locale, to}
	return p.change(ctx, by, "set_text", of, id, from, asked, func(l *locked) error { return l.setText(ctx, locale, &to) })
}

// RemoveText takes the text of a locale from a product.
func (p *Products) RemoveText(ctx context.Context, by Caller, of ids.Seller, id ids.Product, from web.Version, locale string) (Product, error) {
	return p.change(ctx, by, "remove_text", of, id, from, locale, func(l *locked) error {
		if _, has := l.texts[locale]; !has {
			return &problem.Problem{Kind: unknownText}
		}
		return l.setText(ctx, locale, nil)
	})
}

// SetSKU changes a SKU of a product, or adds one: with the number -1.
func (p *Products) SetSKU(ctx context.Context, by Caller, of ids.Seller, id ids.Product, from web.Version, to SKU) (Product, error) {
	if problem := to.check(); problem != nil {
		return Product{}, problem
	}
	return p.change(ctx, by, "set_sku", of, id, from, to, func(l *locked) error {
		switch {
		case to.N < 0 && len(l.skus) >= skusMax:
			return errTooMany("a product has at most %d SKUs, with the archived ones", skusMax)
		case to.N < 0:
			to.N = len(l.skus)
		case to.N >= len(l.skus):
			return &problem.Problem{Kind: unknownSKU}
		}
		return l.setSKU(ctx, to)
	})
}

// locked is a product whose row is locked until the transaction ends, with all that it is.
type locked struct {
	Product

	texts   map[string]Text
	skus    []SKU // by their numbers, which have no gaps
	c       *change
	tree    *Tree
	changed []Changed
}

// change changes parts of a product, in one version.
func (p *Products) change(ctx context.Context, by Caller, route string, of ids.Seller, id ids.Product, from web.Version, asked any, do func(*locked) error) (Product, error) {
	if err := p.sells(ctx, by, of); err != nil {
		return Product{}, err
	}
	tree, err := p.Tree(ctx, 0)
	if err != nil {
		return Product{}, err
	}
	chosen := struct {
		Seller  ids.Seller
		Product ids.Product
		From    web.Version
		To      any
	}{of, id, from, asked}
	return once(ctx, p, shard.OfProduct(id), by, route, chosen, func(c *change) (Product, error) {
		l, err := c.product(ctx, of, id)
		switch {
		case err != nil:
			return Product{}, err
		case l.Version != int64(from):
			return Product{}, web.ErrChanged
		case changesIn(l.Stage) == ChangesNone:
			return Product{}, wrongStage(l.Stage)
		}
		l.tree = tree
		if err := do(l); err != nil || len(l.changed) == 0 {
			return l.Product, err
		}
		if l.Stage == StageListed {
			if err := l.whole(tree, StateActive); err != nil { // its brand stays, archived or not
				return Product{}, err
			}
		}
		if err := c.put(ctx, "count a product", countProduct, id, l.Version); err != nil {
			return Product{}, err
		}
		l.Version++
		for _, changed := range l.changed {
			if err := c.note(ctx, &l.Product, changed); err != nil {
				return Product{}, err
			}
		}
		return c.changedProduct(ctx, l.Product)
	})
}

// product locks a product of a seller. For others there is none.
func (c *change) product(ctx context.Context, of ids.Seller, id ids.Product) (*locked, error) {
	l := &locked{Product: Product{ID: id, Seller: of}, c: c}
	var content []byte
	err := c.in.QueryRowContext(ctx, lockProduct, id, of).Scan(&l.Stage, &l.Version, &content, &l.MadeAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errUnknownProduct
	case err != nil:
		return nil, db.WriteError("lock product", err)
	}
	w := Whole{Product: l.Product}
	if err := fill(ctx, c.at, c.in, &w, content); err != nil {
		return nil, err
	}
	l.Product, l.texts, l.skus = w.Product, w.Texts, w.SKUs
	return l, nil
}

// keeps refuses content without what of a product stays.
func (l *locked) keeps(to *Content) error {
	if changesIn(l.Stage) == ChangesClose && (to.Category != l.Category || to.Brand != l.Brand || !slices.Equal(to.Options, l.Options)) {
		return &problem.Problem{Kind: problem.WrongState, Detail: "category, brand and options of a product that was approved stay: make another one"}
	}
	if len(l.skus) > 0 && !slices.Equal(to.Options, l.Options) {
		return &problem.Problem{Kind: problem.WrongState, Detail: "the options of a product that has SKUs stay, because they have choices of them"}
	}
	return nil
}

// setContent changes the content.
func (l *locked) setContent(ctx context.Context, to Content) error {
	after, err := store(to)
	if err != nil {
		return err
	}
	before, err := store(l.Content)
	if err != nil || string(before) == string(after) {
		return err
	}
	if err := l.setMedia(ctx, to.Media); err != nil {
		return err
	}
	l.Content = to
	l.changed = append(l.changed, Changed{Part: PartContent, Before: before, After: after})
	return l.c.put(ctx, "change product", updateContent, to.Category, brandOrNull(to.Brand), []byte(after), l.ID)
}

// setText changes a text, or removes it: by nil.
func (l *locked) setText(ctx context.Context, locale string, to *Text) error {
	changed := Changed{Part: Part(partText + locale)}
	before, had := l.texts[locale]
	var err error
	if had {
		if changed.Before, err = store(before); err != nil {
			return err
		}
	}
	if to == nil {
		delete(l.texts, locale)
		l.changed = append(l.changed, changed)
		return l.c.put(ctx, "delete text", deleteText, l.ID, locale)
	}
	if !had && len(l.texts) >= localesMax {
		return errTooMany("a product has texts in at most %d locales", localesMax)
	}
	if changed.After, err = store(*to); err != nil || string(changed.After) == string(changed.Before) {
		return err
	}
	l.texts[locale] = *to
	l.changed = append(l.changed, changed)
	return l.c.put(ctx, "write text", putText, l.ID, locale, to.Title, to.Description)
}

// setSKU changes a SKU, or adds the next one.
func (l *locked) setSKU(ctx context.Context, to SKU) error {
	if err := to.among(l.tree, &l.Content, l.skus); err != nil {
		return err
	}
	return l.putSKU(ctx, to)
}

// putSKU writes a SKU that has been looked at, unless it is so already.
func (l *locked) putSKU(ctx context.Context, to SKU) error {
	changed := Changed{Part: Part(fmt.Sprint(partSKU, to.N))}
	var err error
	if to.N < len(l.skus) {
		if changed.Before, err = store(l.skus[to.N]); err != nil {
			return err
		}
	} else {
		l.skus = append(l.skus, SKU{})
	}
	if changed.After, err = store(to); err != nil || string(changed.After) == string(changed.Before) {
		return err
	}
	l.skus[to.N] = to
	l.changed = append(l.changed, changed)
	options, err := store(to.Options)
	if err != nil {
		return err
	}
	return l.c.put(ctx, "write SKU", putSKU, l.ID, to.N, to.State, to.Code, []byte(options), to.Grams, to.Size.Length, to.Size.Width, to.Size.Height)
}

// note writes a part of a version down.
func (c *change) note(ctx context.Context, of *Product, what Changed) error {
	null := func(v jsontext.Value) any {
		if v == nil {
			return nil
		}
		return []byte(v)
	}
	return c.put(ctx, "write a version", insertChange, of.ID, of.Version, what.Part, null(what.Before), null(what.After), c.by.Actor, what.Reason)
}

// changedProduct tells others of a version of a product. Each hundredth one deletes what is too old to be restored.
func (c *change) changedProduct(ctx context.Context, of Product) (Product, error) {
	if of.Version%forgetEvery == 0 {
		if err := c.put(ctx, "forget versions", deleteChanges, of.ID, of.Version-versionsKept); err != nil {
			return Product{}, err
		}
	}
	return of, c.publish(ctx, of.ID.String(), productEvent{of.Seller, of.Stage, of.Category, of.Brand})
}

// productEvent tells others what a product is. Its texts and its SKUs, they ask.
type productEvent struct {
	Seller   ids.Seller   `json:"seller_id"`
	Stage    Stage        `json:"stage"`
	Category ids.Category `json:"category_id"`
	Brand    ids.Brand    `json:"brand_id,omitzero"`
}

func (productEvent) kind() string { return "product_changed" }

// store is a value as a version keeps it: in one form, so that equal values are equal.
func store(value any) (jsontext.Value, error) {
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return text, nil
}

// brandOrNull is a brand in SQL.
func brandOrNull(id ids.Brand) any {
	if id == 0 {
		return nil
	}
	return int64(id)
}
