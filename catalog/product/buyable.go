package product

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
)

const (
	selectBuyable = "SELECT p.product_id, k.n, p.seller_id, k.options FROM product_skus__ AS k JOIN products__ AS p ON p.product_id = k.product_id " +
		"WHERE p.stage = 'listed' AND k.state = 'active' AND ("
	buyableOne   = "k.product_id = ? AND k.n = ?"
	selectTitles = "SELECT product_id, locale, title FROM product_texts__ WHERE product_id IN "
)

// Buyable is what a SKU is that shoppers can buy.
type Buyable struct {
	Product ids.Product
	Seller  ids.Seller
	Titles  map[string]string // of the product, by locale
	Options map[string]string // the SKU's choices
}

// Buyable tells what SKUs are, of those that shoppers can buy: they are active, their product is listed, and its seller's products are shown.
// It asks each place once, however many SKUs there are.
func (p *Products) Buyable(ctx context.Context, skus []int64) (map[int64]Buyable, error) {
	type here struct {
		place.Place
		pairs []any
	}
	places := map[string]*here{}
	for _, sku := range skus {
		id, n, ok := ids.ProductOf(sku)
		if !ok {
			continue
		}
		at := p.atProduct(id)
		if places[at.Name] == nil {
			places[at.Name] = &here{Place: at}
		}
		places[at.Name].pairs = append(places[at.Name].pairs, id, n)
	}
	found := map[int64]Buyable{}
	for _, at := range places {
		if err := buyableIn(ctx, at.Place, at.pairs, found); err != nil {
			return nil, err
		}
	}
	return found, p.keepShown(ctx, found)
}

// buyableIn finds the SKUs of a place, which come as products and numbers.
func buyableIn(ctx context.Context, at place.Place, pairs []any, found map[int64]Buyable) error {
	in := at.In(at.Writer())
	titles := map[ids.Product]map[string]string{}
	var products []any
	err := db.Rows(ctx, in, func(row *sql.Rows) error {
		var id ids.Product
		var n int
		var one Buyable
		var options []byte
		if err := row.Scan(&id, &n, &one.Seller, &options); err != nil {
			return err
		}
		if titles[id] == nil {
			titles[id] = map[string]string{}
			products = append(products, id)
		}
		one.Product, one.Titles = id, titles[id]
		sku, _ := ids.SKU(id, n)
		err := json.Unmarshal(options, &one.Options)
		found[sku] = one
		return err
	}, selectBuyable+strings.Join(slices.Repeat([]string{buyableOne}, len(pairs)/2), " OR ")+")", pairs...)
	if err != nil {
		return readError(at, "product_skus", err)
	}
	err = among(ctx, in, selectTitles, products, func(row *sql.Rows) error {
		var id ids.Product
		var locale, title string
		err := row.Scan(&id, &locale, &title)
		titles[id][locale] = title
		return err
	})
	if err != nil {
		return readError(at, "product_texts", err)
	}
	return nil
}

// keepShown takes out what sellers have whose products are not shown.
func (p *Products) keepShown(ctx context.Context, found map[int64]Buyable) error {
	var sellers []ids.Seller
	for _, one := range found {
		if !slices.Contains(sellers, one.Seller) {
			sellers = append(sellers, one.Seller)
		}
	}
	if len(sellers) == 0 {
		return nil
	}
	selling, err := p.sellers.Selling(ctx, sellers)
	for sku, one := range found {
		if !selling[one.Seller] {
			delete(found, sku)
		}
	}
	return err
}
