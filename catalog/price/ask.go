package price

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
)

const ofSKUs = "SELECT NOW(3), p.sku_id, p.ranges FROM (SELECT 1 AS one) AS o LEFT JOIN prices__ AS p ON p.market = ? AND p.sku_id IN "

// Ask is what somebody wants to know the price of.
type Ask struct {
	User    ids.User
	Market  string
	Channel Channel // none: prices for all channels count
	Items   []Want
}

// Want is so many units of a SKU.
type Want struct {
	SKU      int64
	Quantity int64
}

// Quoted is a quote, and the text that pins it.
type Quoted struct {
	Quote  Quote
	Sealed string
}

// Quote says what goods cost, and pins it. Nobody has a level: prices of members are not counted.
func (p *Pricing) Quote(ctx context.Context, ask Ask) (Quoted, error) {
	m, err := p.markets.Of(ask.Market)
	if err != nil {
		return Quoted{}, inMember("/market", err)
	}
	r := Request{Market: m, User: ask.User, Channel: ask.Channel}
	if fault := ask.check(); fault != nil {
		return Quoted{}, fault
	}
	if r.Items, err = p.goods(ctx, ask.Items); err != nil {
		return Quoted{}, err
	}
	prices, now, err := p.pricesOf(ctx, m, ask.Items)
	if err != nil {
		return Quoted{}, err
	}
	r.At = now
	for i := range r.Items {
		if u, ok := prices[r.Items[i].SKU].At(now, r.Channel, r.Level); ok {
			r.Items[i].Unit = u
		}
	}
	q, err := NewQuote(r)
	if err != nil {
		return Quoted{}, err
	}
	sealed, err := p.sealer.Seal(&q)
	return Quoted{q, sealed}, err
}

// inMember puts the member of the body that a refusal is about in front of it.
func inMember(pointer string, err error) error {
	if p := new(problem.Problem); errors.As(err, &p) {
		return at(pointer, p)
	}
	return err
}

// check refuses what nothing is known of.
func (a *Ask) check() *problem.Problem {
	if a.Channel != "" && !wordForm.MatchString(string(a.Channel)) {
		return malformed("/channel", wordWanted)
	}
	if len(a.Items) == 0 || len(a.Items) > itemsMax {
		return malformed("/items", "want 1 to %d", itemsMax)
	}
	for i, w := range a.Items {
		if w.Quantity < 1 || w.Quantity > quantityMax {
			return malformed(itemPointer(i)+"/quantity", "want 1 to %d", quantityMax)
		}
	}
	for i, w := range a.Items {
		if _, _, ok := ids.ProductOf(w.SKU); !ok {
			return &problem.Problem{Kind: noPrice, Pointer: itemPointer(i) + "/sku_id"}
		}
	}
	return nil
}

// goods are items with what is known of their products. What shoppers do not see is not for sale.
func (p *Pricing) goods(ctx context.Context, wants []Want) ([]Item, error) {
	var products []ids.Product
	for _, w := range wants {
		if id, _, _ := ids.ProductOf(w.SKU); !slices.Contains(products, id) {
			products = append(products, id)
		}
	}
	all, err := p.products.GoodsOf(ctx, products...)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(wants))
	for i, w := range wants {
		id, n, _ := ids.ProductOf(w.SKU)
		g := all[id]
		if !g.Shown || !g.Active(n) {
			return nil, &problem.Problem{Kind: noPrice, Pointer: itemPointer(i) + "/sku_id"}
		}
		items[i] = Item{SKU: w.SKU, Quantity: w.Quantity, Seller: g.Seller, Brand: g.Brand, Categories: g.Categories, TaxCategory: g.Tax}
	}
	return items, nil
}

// pricesOf reads prices of SKUs in a market, and the time: the latest one of the databases that have them.
func (p *Pricing) pricesOf(ctx context.Context, m *Market, wants []Want) (all map[int64]Prices, now time.Time, err error) {
	places, in := map[string]place.Place{}, map[string][]any{}
	for _, w := range wants {
		at := p.databases.At(shardOf(w.SKU))
		places[at.Name], in[at.Name] = at, append(in[at.Name], w.SKU)
	}
	all = map[int64]Prices{}
	for name, at := range places {
		skus := in[name]
		marks := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(skus)), ", ") + ")"
		err := db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
			var here time.Time
			var sku sql.NullInt64
			var ranges []byte
			if err := row.Scan(&here, &sku, &ranges); err != nil {
				return err
			}
			if here.After(now) {
				now = here
			}
			if !sku.Valid {
				return nil
			}
			prices, err := readRanges(ranges)
			all[sku.Int64] = prices
			return err
		}, ofSKUs+marks, slices.Concat([]any{m.Code}, skus)...)
		if err != nil {
			return nil, time.Time{}, readError(at, "prices", err)
		}
	}
	return all, now, nil
}

// Pinned opens the text of a quote of a user, as of now by the time of the database.
func (p *Pricing) Pinned(ctx context.Context, sealed string, user ids.User) (q Quote, err error) {
	at := p.databases.At(shardOf(0))
	var now time.Time
	if err := at.Writer().QueryRowContext(ctx, "SELECT NOW(3)").Scan(&now); err != nil {
		return Quote{}, fmt.Errorf("ask for the time: %w", readError(at, "prices", err))
	}
	return p.sealer.Open(sealed, user, now)
}
