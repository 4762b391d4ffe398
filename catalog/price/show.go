package price

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

const (
	ofProduct = "SELECT NOW(3), p.sku_id, p.ranges FROM (SELECT 1 AS one) AS o LEFT JOIN prices__ AS p ON p.sku_id BETWEEN ? AND ? AND p.market = ?"
	// A seller's people reach rows of their own seller only.
	selectChanges = "SELECT c.version, c.became, c.at, c.actor FROM prices__ AS p JOIN price_changes__ AS c ON c.sku_id = p.sku_id AND c.market = p.market " +
		"WHERE p.sku_id = ? AND p.market = ? AND p.seller_id = ? AND c.version < ? ORDER BY c.version DESC LIMIT ?"
)

// OfSeller shows the prices of a SKU in a market to the people and the systems of its seller.
func (p *Pricing) OfSeller(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Product, sku int64, market string) (Set, error) {
	if err := p.reads(ctx, by, of, id, sku, market); err != nil {
		return Set{}, err
	}
	at := p.databases.At(shardOf(sku))
	h, err := readSKU(ctx, at, at.In(at.Writer()), ofSKU, sku, market)
	return h.Set, err
}

// reads refuses whoever may not see the prices of a seller.
func (p *Pricing) reads(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Product, sku int64, market string) error {
	if _, err := p.markets.Of(market); err != nil {
		return err
	}
	if _, err := p.sellers.Admit(ctx, by, of); err != nil {
		return err
	}
	_, err := p.own(ctx, of, id, sku)
	return err
}

// Changed is a version of the prices of a SKU in a market: what they became.
type Changed struct {
	Version int64
	Prices  Prices
	At      time.Time
	Actor   string
}

// Changes lists the versions of prices before one, the newest first: 0 is the end. More says that there are others behind them.
func (p *Pricing) Changes(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Product, sku int64, market string, before int64, limit int) (page []Changed, more bool, err error) {
	if err := p.reads(ctx, by, of, id, sku, market); err != nil {
		return nil, false, err
	}
	if before == 0 {
		before = math.MaxInt64
	}
	at := p.databases.At(shardOf(sku))
	err = db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) (err error) {
		var c Changed
		var became []byte
		if err := row.Scan(&c.Version, &became, &c.At, &c.Actor); err != nil {
			return err
		}
		c.Prices, err = readRanges(became)
		page = append(page, c)
		return err
	}, selectChanges, sku, market, of, before, limit+1)
	if err != nil {
		return nil, false, readError(at, "price_changes", err)
	}
	if len(page) > limit {
		return page[:limit], true, nil
	}
	return page, false, nil
}

// Shown is what a unit of a SKU costs at a moment, as shoppers see it.
type Shown struct {
	SKU     int64
	Unit    Unit
	Lowest  *Lowest  // of a reduction
	Members []Member // what members pay, if it is less
	Until   time.Time
}

// Lowest is the lowest price of the 30 days before a reduction began.
type Lowest struct {
	Price money.Amount
	Began time.Time
}

// Member is what members pay from a level on.
type Member struct {
	Level Level
	Price money.Amount
}

// Display are the prices of a product in a market.
type Display struct {
	Market *Market
	At     time.Time
	Shown  []Shown // of SKUs that are sold, by their ids
}

// OfProduct shows what the SKUs of a product cost. A SKU that nobody can buy in the market is left out.
func (p *Pricing) OfProduct(ctx context.Context, id ids.Product, market string, channel Channel) (d Display, err error) {
	if d.Market, err = p.markets.Of(market); err != nil {
		return Display{}, err
	}
	if channel != "" && !wordForm.MatchString(string(channel)) {
		return Display{}, malformed("", "the query parameter channel: "+wordWanted)
	}
	all, err := p.products.GoodsOf(ctx, id)
	if err != nil {
		return Display{}, err
	}
	goods := all[id]
	if !goods.Shown {
		return Display{}, &problem.Problem{Kind: unknownProduct}
	}
	first, _ := ids.SKU(id, 0)
	last, _ := ids.SKU(id, ids.SKUsMax-1)
	at := p.databases.At(shardOf(first))
	err = db.Rows(ctx, at.In(at.Writer()), func(row *sql.Rows) error {
		var sku sql.NullInt64
		var ranges []byte
		if err := row.Scan(&d.At, &sku, &ranges); err != nil || !sku.Valid {
			return err
		}
		prices, err := readRanges(ranges)
		if err != nil {
			return err
		}
		if _, n, _ := ids.ProductOf(sku.Int64); goods.Active(n) && d.Market.taxes(goods.Tax) {
			if shown, ok := prices.shown(d.Market, d.At, channel); ok {
				shown.SKU = sku.Int64
				d.Shown = append(d.Shown, shown)
			}
		}
		return nil
	}, ofProduct, first, last, market)
	if err != nil {
		return Display{}, readError(at, "prices", err)
	}
	slices.SortFunc(d.Shown, func(a, b Shown) int { return int(a.SKU - b.SKU) })
	return d, nil
}

// shown is what shoppers see of prices at a moment. It is false if nobody can buy the SKU.
func (p Prices) shown(m *Market, moment time.Time, channel Channel) (s Shown, ok bool) {
	if s.Unit, ok = p.At(moment, channel, 0); !ok || s.Unit.check(m) != nil {
		return Shown{}, false
	}
	if s.Unit.Kind == KindPromotion { // any other price is no reduction
		if lowest, began, ok := p.History(channel).Before(moment); ok {
			s.Lowest = &Lowest{lowest, began}
		}
	}
	last := s.Unit.Price.Minor
	for level := Level(1); level <= LevelMax; level++ {
		if u, _ := p.At(moment, channel, level); u.Price.Minor < last {
			last = u.Price.Minor
			s.Members = append(s.Members, Member{level, u.Price})
		}
	}
	s.Until, _ = p.next(moment)
	return s, true
}
