package price

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
)

// taskTell is the kind of the tasks that tell others of a moment at which prices begin or end. What a unit costs follows from the ranges
// without it: the task is for those who are told.
const taskTell = "tell_prices"

// toTell is the data of such a task.
type toTell struct {
	SKU    int64     `json:"sku_id"`
	Market string    `json:"market"`
	At     time.Time `json:"at"`
}

// pricesEvent tells others the prices of a SKU in a market, as of a moment: those that count then, and those to come.
type pricesEvent struct {
	SKU    int64      `json:"sku_id,string"`
	Market string     `json:"market"`
	Seller ids.Seller `json:"seller_id"`
	At     time.Time  `json:"at"`
	Prices Prices     `json:"prices"`
}

func (pricesEvent) kind() string { return "prices_changed" }

// event is what others are told as of a moment.
func (h *held) event(moment time.Time) pricesEvent {
	e := pricesEvent{h.SKU, h.Market, h.seller, moment.UTC(), Prices{}}
	for _, r := range h.Prices {
		if !r.ended(moment) {
			e.Prices = append(e.Prices, r)
		}
	}
	return e
}

// tell tells others of prices as of a moment.
func (c change) tell(ctx context.Context, h *held, moment time.Time) error {
	e := h.event(moment)
	_, err := outboxOf(c.at).Append(ctx, c.tx, topic, aggregate(h.SKU, h.Market), e.kind(), e)
	return err
}

// next is the first moment after one at which a price begins or ends.
func (p Prices) next(after time.Time) (moment time.Time, ok bool) {
	for _, moment := range p.moments() {
		if moment.After(after) {
			return moment, true
		}
	}
	return time.Time{}, false
}

// tellLater adds the task that tells others of the next moment, if there is one. The task is due by the time of the database.
func (c change) tellLater(ctx context.Context, h *held) error {
	next, ok := h.Prices.next(h.told)
	if !ok {
		return nil
	}
	name := fmt.Sprintf("%s_%d", aggregate(h.SKU, h.Market), next.UnixMilli())
	return task.Of(owner, c.at.Suffix).Add(ctx, c.tx, taskTell, name, toTell{h.SKU, h.Market, next}, max(next.Sub(h.now), 0))
}

// tell does a task: it tells of all moments that nobody was told of, each once. A task of a moment that is none any more, because the prices
// were changed, has nothing to tell.
func (p *Pricing) tell(ctx context.Context, t task.Task) error {
	var of toTell
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	return db.Write(ctx, t.Place.Writer(), "moments of prices", func(tx *sql.Tx) error {
		c := change{t.Place, tx, t.Place.In(tx)}
		h, err := readSKU(ctx, c.at, c.in, lockSKU, of.SKU, of.Market)
		if err != nil {
			return err
		}
		moments := h.Prices.Moments(h.told, h.now)
		if next, ok := h.Prices.next(h.told); len(moments) == 0 && ok && next.Equal(of.At) { // another server has another time
			return t.Later(ctx, tx, next.Sub(h.now))
		}
		for _, moment := range moments {
			if err := c.tell(ctx, &h, moment); err != nil {
				return err
			}
			h.told = moment
		}
		if len(moments) > 0 {
			if err := c.put(ctx, "note what was told", tellPrices, h.told, of.SKU, of.Market); err != nil {
				return err
			}
			if err := c.tellLater(ctx, &h); err != nil {
				return err
			}
		}
		return t.Finish(ctx, tx)
	})
}
