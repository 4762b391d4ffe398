package price

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
	"sluice/core/shard"
)

const (
	insertChange  = "INSERT INTO price_changes__ (sku_id, market, version, became, at, actor) VALUES (?, ?, ?, ?, ?, ?)"
	deleteChanges = "DELETE FROM price_changes__ WHERE sku_id = ? AND market = ? AND version <= ?"
)

const (
	wishesMax    = 80   // prices that are sent at once: a body has 16 KiB
	versionsKept = 1000 // of a SKU in a market
	forgetEvery  = 100
)

// Set are the prices of a SKU in a market, as its seller sees them.
type Set struct {
	SKU     int64  `json:"sku_id,string"`
	Market  string `json:"market"`
	Version int64  `json:"version"` // how often they were changed, from 1 on
	Prices  Prices `json:"prices"`
}

// Wish is a price as its seller wants it.
type Wish struct {
	ID      ids.Price    `json:"price_id,omitzero"` // 0: a new one
	Kind    Kind         `json:"kind"`
	Channel Channel      `json:"channel"`
	Level   Level        `json:"level"`
	Price   money.Amount `json:"price"`
	From    time.Time    `json:"from,omitzero"` // none: from the change on, or as it was
	To      time.Time    `json:"to,omitzero"`
}

// checkWishes refuses what no price can be, whatever prices there are. Whether one that is there has to be within the bounds of the market
// depends on whether it has begun.
func checkWishes(wishes []Wish, m *Market) *problem.Problem {
	if len(wishes) > wishesMax {
		return malformed("/prices", "want at most %d", wishesMax)
	}
	for i := range wishes {
		r := wishes[i].asRange()
		if r.From.IsZero() { // it is not known yet, and no end that can be sent is before it
			r.From = time.Unix(0, 0)
		}
		fault := r.form()
		if r.ID == 0 {
			fault = r.check(m)
		}
		if fault != nil {
			return at(fmt.Sprintf("/prices/%d", i), fault)
		}
	}
	return nil
}

func (w *Wish) asRange() Range {
	return Range{
		ID: w.ID, Kind: w.Kind, Channel: w.Channel, Level: w.Level, Price: w.Price,
		Span: Span{From: w.From.UTC().Truncate(time.Millisecond), To: w.To.UTC().Truncate(time.Millisecond)},
	}
}

// wanted are prices as a seller wants them. What has ended stays, whether it is sent or not.
func (p Prices) wanted(wishes []Wish, now time.Time, draw func() ids.Price) (Prices, error) {
	was, sent := map[ids.Price]*Range{}, map[ids.Price]bool{}
	for i := range p {
		was[p[i].ID] = &p[i]
	}
	var all Prices
	for i := range wishes {
		w := &wishes[i]
		r := w.asRange()
		switch had := was[w.ID]; {
		case w.ID == 0:
			r.ID = draw()
			if w.From.IsZero() {
				r.From = now
			}
		case had == nil || sent[w.ID]:
			return nil, malformed(fmt.Sprintf("/prices/%d/price_id", i), "want one of the prices that the SKU has in this market, each once")
		case w.From.IsZero():
			r.From = had.From
		}
		sent[r.ID] = true
		all = append(all, r)
	}
	for _, r := range p {
		if r.ended(now) && !sent[r.ID] {
			all = append(all, r)
		}
	}
	return all, nil
}

// recent are the prices without those that ended so long ago that no reduction is compared with them.
func (p Prices) recent(now time.Time) Prices {
	since := now
	for _, channel := range p.channels() {
		h := p.History(channel)
		if _, first := h.reduction(now); first >= 0 && h[first].At.Before(since) {
			since = h[first].At
		}
	}
	since = since.Add(-beforeReduction)
	return slices.DeleteFunc(slices.Clone(p), func(r Range) bool { return r.ended(since) })
}

// channels are those that have prices of their own, and the empty one.
func (p Prices) channels() []Channel {
	all := []Channel{""}
	for _, r := range p {
		if !slices.Contains(all, r.Channel) {
			all = append(all, r.Channel)
		}
	}
	return all
}

// SetPrices puts prices of a SKU in a market in the place of those that it has.
func (p *Pricing) SetPrices(ctx context.Context, by Caller, of ids.Seller, id ids.Product, sku int64, market string, from web.Version, wishes []Wish) (Set, error) {
	m, err := p.markets.Of(market)
	if err != nil {
		return Set{}, err
	}
	if p := checkWishes(wishes, m); p != nil {
		return Set{}, p
	}
	if err := p.sells(ctx, by, of); err != nil {
		return Set{}, err
	}
	goods, err := p.own(ctx, of, id, sku)
	if err != nil {
		return Set{}, err
	}
	isNew := func(w Wish) bool { return w.ID == 0 }
	if slices.ContainsFunc(wishes, isNew) && !m.taxes(goods.Tax) { // those that are there may end in any case
		return Set{}, &problem.Problem{Kind: problem.WrongState, Detail: "the market has no rate of tax for the product's tax_category"}
	}
	asked := struct {
		Seller ids.Seller
		SKU    int64
		Market string
		From   web.Version
		To     []Wish
	}{of, sku, market, from, wishes}
	return once(ctx, p, shard.OfProduct(id), by, "set_prices", asked, func(c change) (Set, error) {
		h, err := readSKU(ctx, c.at, c.in, lockSKU, sku, market)
		switch {
		case err != nil:
			return Set{}, err
		case h.Version != int64(from):
			return Set{}, web.ErrChanged
		}
		to, err := h.Prices.wanted(wishes, h.now, ids.Random[ids.Price])
		if err != nil {
			return Set{}, err
		}
		if err := to.Follow(h.Prices, m, h.now); err != nil {
			return Set{}, inBody(err)
		}
		h.seller = of
		return h.Set, c.set(ctx, &h, to, by.Actor)
	})
}

// inBody puts the name of the member in front of the pointers of refusals.
func inBody(err error) error {
	if p := new(problem.Problem); errors.As(err, &p) && p.Kind == problem.Malformed {
		return at("/prices", p)
	}
	return err
}

// set writes prices that have been looked at, and tells others. If they are as they were, it does nothing.
func (c change) set(ctx context.Context, h *held, to Prices, actor string) error {
	slices.SortFunc(to, func(a, b Range) int { return a.From.Compare(b.From) })
	if samePrices(h.Prices, to) {
		return nil
	}
	untold := h.Prices.Moments(h.told, h.now) // of a process that has been away
	to = to.recent(h.now)
	ranges, err := writeRanges(to)
	if err != nil {
		return err
	}
	statement := updatePrices
	if h.Version == 1 {
		statement = insertPrices
	}
	for _, moment := range untold {
		if err := c.tell(ctx, h, moment); err != nil {
			return err
		}
	}
	h.Version, h.Prices, h.told = h.Version+1, to, h.now
	if _, err := c.in.ExecContext(ctx, statement, h.Version, h.seller, ranges, h.told, h.SKU, h.Market); err != nil {
		if db.Answer(err) == db.AnswerDuplicate { // somebody has set the first ones since
			return web.ErrChanged
		}
		return db.WriteError("write prices", err)
	}
	if err := c.put(ctx, "write a version", insertChange, h.SKU, h.Market, h.Version, ranges, h.now, actor); err != nil {
		return err
	}
	if h.Version%forgetEvery == 0 {
		if err := c.put(ctx, "forget versions", deleteChanges, h.SKU, h.Market, h.Version-versionsKept); err != nil {
			return err
		}
	}
	if err := c.tell(ctx, h, h.told); err != nil {
		return err
	}
	return c.tellLater(ctx, h)
}

// samePrices reports whether prices are the same ones.
func samePrices(a, b Prices) bool {
	byID := map[ids.Price]Range{}
	for _, r := range a {
		byID[r.ID] = r
	}
	return len(a) == len(b) && !slices.ContainsFunc(b, func(r Range) bool {
		was, ok := byID[r.ID]
		return !ok || was.Kind != r.Kind || was.Channel != r.Channel || was.Level != r.Level || was.Price != r.Price || !was.From.Equal(r.From) || !was.To.Equal(r.To)
	})
}
