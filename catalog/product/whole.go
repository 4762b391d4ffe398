package product

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	selectOfSeller = "SELECT product_id, stage, version, content, made_at FROM products__ WHERE seller_id = ? AND product_id > ? ORDER BY product_id LIMIT ?"
	selectWhole    = "SELECT seller_id, stage, version, content, made_at FROM products__ WHERE product_id = ?"
	selectTexts    = "SELECT locale, title, description FROM product_texts__ WHERE product_id = ?"
	selectSKUs     = "SELECT n, state, seller_code, options, grams, length_mm, width_mm, height_mm FROM product_skus__ WHERE product_id = ? ORDER BY n"
)

// Whole is a product with all that it is.
type Whole struct {
	Product

	Texts map[string]Text
	SKUs  []SKU
	Media []Media // all that there are; for shoppers, those that they see, in their order
}

// OfSeller shows a product to the people and the systems of its seller.
func (p *Products) OfSeller(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Product) (Whole, error) {
	if _, err := p.sellers.Admit(ctx, by, of); err != nil {
		return Whole{}, err
	}
	w, err := p.whole(ctx, id, false)
	if err == nil && w.Seller != of {
		err = errUnknownProduct
	}
	return w, err
}

// Shown shows a product to shoppers: one that is listed, of a seller whose products can be.
func (p *Products) Shown(ctx context.Context, id ids.Product) (Whole, error) {
	w, err := p.whole(ctx, id, true)
	switch {
	case err != nil:
		return Whole{}, err
	case w.Stage != StageListed:
		return Whole{}, errUnknownProduct
	}
	switch state, err := p.sellers.StateOf(ctx, w.Seller); {
	case isRefusal(err), err == nil && !seller.Means(state).Listed:
		return Whole{}, errUnknownProduct
	case err != nil:
		return Whole{}, err
	}
	w.Media = w.shownMedia()
	return w, nil
}

// shownMedia are the pictures that shoppers see, in their order.
func (w *Whole) shownMedia() (shown []Media) {
	for _, id := range w.Content.Media {
		i := slices.IndexFunc(w.Media, func(m Media) bool { return m.ID == id && m.State == MediaShown })
		if i >= 0 {
			shown = append(shown, w.Media[i])
		}
	}
	return shown
}

// Reviewed shows a product to reviewers.
func (p *Products) Reviewed(ctx context.Context, id ids.Product) (Whole, error) {
	return p.whole(ctx, id, false)
}

// List lists the products of a seller after one, by their ids. They are in any place, so that all places are asked. More says that
// there are others behind them.
func (p *Products) List(ctx context.Context, by seller.Reader, of ids.Seller, after ids.Product, limit int) (page []Product, more bool, err error) {
	if _, err := p.sellers.Admit(ctx, by, of); err != nil {
		return nil, false, err
	}
	for _, at := range p.databases.All(shard.Products) {
		err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
			one := Product{Seller: of}
			var content []byte
			if err := row.Scan(&one.ID, &one.Stage, &one.Version, &content, &one.MadeAt); err != nil {
				return err
			}
			err := json.Unmarshal(content, &one.Content)
			page = append(page, one)
			return err
		}, selectOfSeller, of, int64(after), limit+1)
		if err != nil {
			return nil, false, readError(at, "products", err)
		}
	}
	slices.SortFunc(page, func(a, b Product) int { return cmp.Compare(a.ID, b.ID) })
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// whole reads a product as of one moment. For shoppers, pictures that it does not use are not read.
func (p *Products) whole(ctx context.Context, id ids.Product, shoppers bool) (w Whole, err error) {
	at := p.atProduct(id)
	tx, err := at.Writer().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return Whole{}, readError(at, "products", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	in := at.In(tx)
	if w, err = readWhole(ctx, at, in, id); err != nil || shoppers && len(w.Content.Media) == 0 {
		return w, err
	}
	w.Media, err = readMedia(ctx, at, in, id)
	return w, err
}

func readWhole(ctx context.Context, at place.Place, in place.Conn, id ids.Product) (Whole, error) {
	w := Whole{Product: Product{ID: id}}
	var content []byte
	err := in.QueryRowContext(ctx, selectWhole, id).Scan(&w.Seller, &w.Stage, &w.Version, &content, &w.MadeAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Whole{}, errUnknownProduct
	case err != nil:
		return Whole{}, readError(at, "products", err)
	}
	err = fill(ctx, at, in, &w, content)
	return w, err
}

// fill reads what hangs on a product.
func fill(ctx context.Context, at place.Place, in place.Conn, w *Whole, content []byte) error {
	if err := json.Unmarshal(content, &w.Content); err != nil {
		return fmt.Errorf("product %s: %w: %w", w.ID, stock.ErrNotApplied, err)
	}
	w.Texts = map[string]Text{}
	err := db.Rows(ctx, in, func(row *sql.Rows) error {
		var locale string
		var t Text
		err := row.Scan(&locale, &t.Title, &t.Description)
		w.Texts[locale] = t
		return err
	}, selectTexts, w.ID)
	if err != nil {
		return readError(at, "product_texts", err)
	}
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		s, err := scanSKU(row)
		w.SKUs = append(w.SKUs, s)
		return err
	}, selectSKUs, w.ID)
	if err != nil {
		return readError(at, "product_skus", err)
	}
	return nil
}

func scanSKU(row *sql.Rows) (s SKU, err error) {
	var options []byte
	if err := row.Scan(&s.N, &s.State, &s.Code, &options, &s.Grams, &s.Size.Length, &s.Size.Width, &s.Size.Height); err != nil {
		return SKU{}, err
	}
	return s, json.Unmarshal(options, &s.Options)
}
