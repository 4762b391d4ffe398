package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	loadProducts = "INSERT INTO products__ (product_id, seller_id, stage, category_id, brand_id, content, made_at) VALUES "
	productRow   = "(?, ?, ?, ?, ?, ?, NOW(3))"
	loadTexts    = "INSERT INTO product_texts__ (product_id, locale, title, description) VALUES "
	textRow      = "(?, ?, ?, ?)"
	loadSKUs     = "INSERT INTO product_skus__ (product_id, n, state, seller_code, options, grams, length_mm, width_mm, height_mm) VALUES "
	skuRow       = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

// Good is a product that is loaded.
type Good struct {
	Content

	Seller ids.Seller
	Texts  map[string]Text
	SKUs   []SKU // their numbers are those of their order
}

// LoadMax is how many products are loaded in one transaction.
const LoadMax = 500

// Load writes up to LoadMax products that shoppers see at once, into the range of one logical shard, and returns their ids and how many rows
// that took. Nobody reviews them: it is for demo shops and load tests, in which nobody wants to make a million products one by one. It
// refuses what could not be listed. The first version of each has all that it is, with its event. Sellers are not asked: the caller has
// them.
func (p *Products) Load(ctx context.Context, by audit.Author, number uint16, goods []Good) (made []ids.Product, rows int, err error) {
	if len(goods) == 0 || len(goods) > LoadMax {
		return nil, 0, fmt.Errorf("load products: %w: want 1 to %d at once, not %d", stock.ErrNotApplied, LoadMax, len(goods))
	}
	tree, err := p.Tree(ctx, 0)
	if err != nil {
		return nil, 0, err
	}
	for i := range goods {
		if err := goods[i].whole(tree); err != nil {
			return nil, 0, fmt.Errorf("load product %d: %w", i, err)
		}
	}
	in := shard.Shard{Kind: shard.Products, Number: number}
	of, err := p.takeBlock(ctx, in, len(goods))
	if err != nil {
		return nil, 0, err
	}
	at := p.databases.At(in)
	l := loading{
		products: many{head: loadProducts, row: productRow}, texts: many{head: loadTexts, row: textRow}, skus: many{head: loadSKUs, row: skuRow},
		changes: many{head: insertChanges, row: changeRow},
	}
	for i := range goods {
		id := of.next + ids.Product(i)
		if err := l.add(by, id, &goods[i]); err != nil {
			return nil, 0, err
		}
		made = append(made, id)
	}
	_, err = at.Write(ctx, "products", func(tx *sql.Tx) error {
		for _, table := range []*many{&l.products, &l.texts, &l.skus, &l.changes} {
			if err := table.write(ctx, at.In(tx)); err != nil {
				return err
			}
			rows += table.rows
		}
		rows += 2 * len(l.events)
		return outbox.Of(owner, at.Suffix).Begin(ctx, tx, topic, productEvent{}.kind(), l.events)
	})
	if err != nil {
		return nil, 0, err
	}
	return made, rows, nil
}

// None reports whether there is no product at all.
func (p *Products) None(ctx context.Context) (bool, error) {
	for _, at := range p.databases.All(shard.Products) {
		var some bool
		if err := at.In(at.Writer()).QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM products__)").Scan(&some); err != nil || some {
			return false, err
		}
	}
	return true, nil
}

// whole refuses what could not be listed.
func (g *Good) whole(t *Tree) error {
	if p := g.check(); p != nil {
		return p
	}
	if err := g.in(t); err != nil {
		return err
	}
	for _, text := range g.Texts {
		if p := text.check(); p != nil {
			return p
		}
	}
	for n := range g.SKUs {
		g.SKUs[n].N = n
		if p := g.SKUs[n].check(); p != nil {
			return p
		}
	}
	l := locked{Product: Product{Content: g.Content}, texts: g.Texts, skus: g.SKUs}
	return l.whole(t, StateActive)
}

// loading are the rows of products that are loaded.
type loading struct {
	products, texts, skus, changes many
	events                         []outbox.First
}

func (l *loading) add(by audit.Author, id ids.Product, g *Good) error {
	content, err := store(g.Content)
	if err != nil {
		return err
	}
	first := func(part Part, value any) error {
		after, err := store(value)
		l.changes.add(id, 1, part, nil, []byte(after), by.Actor, "")
		return err
	}
	l.products.add(id, g.Seller, StageListed, g.Category, brandOrNull(g.Brand), []byte(content))
	if err := errors.Join(first(PartContent, g.Content), first(PartStage, StageListed)); err != nil {
		return err
	}
	for _, locale := range slices.Sorted(maps.Keys(g.Texts)) {
		text := g.Texts[locale]
		l.texts.add(id, locale, text.Title, text.Description)
		if err := first(Part(partText+locale), text); err != nil {
			return err
		}
	}
	for _, sku := range g.SKUs {
		options, err := store(sku.Options)
		if err != nil {
			return err
		}
		l.skus.add(id, sku.N, sku.State, sku.Code, []byte(options), sku.Grams, sku.Size.Length, sku.Size.Width, sku.Size.Height)
		if err := first(Part(fmt.Sprint(partSKU, sku.N)), sku); err != nil {
			return err
		}
	}
	l.events = append(l.events, outbox.First{Aggregate: id.String(), Data: productEvent{g.Seller, StageListed, g.Category, g.Brand}})
	return nil
}

// many are rows of one table.
type many struct {
	head, row string
	values    []any
	rows      int
}

func (m *many) add(values ...any) {
	m.values, m.rows = append(m.values, values...), m.rows+1
}

// marksMax is how many values a statement may have: MySQL counts them in 16 bits.
const marksMax = 65_535

func (m *many) write(ctx context.Context, in place.Conn) error {
	columns := len(m.values) / max(1, m.rows)
	for rest := m.values; len(rest) > 0; {
		n := min(len(rest)/columns, marksMax/columns)
		statement := m.head + strings.TrimSuffix(strings.Repeat(m.row+", ", n), ", ")
		if _, err := in.ExecContext(ctx, statement, rest[:n*columns]...); err != nil {
			return db.WriteError("load products", err)
		}
		rest = rest[n*columns:]
	}
	return nil
}
