package audit

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/core/event"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// operator is whoever runs a command about stock: the events do not say who that is.
const operator = "operator"

// StockAct is the act that an event of stock tells of. Most events tell of none: only admins and operators adjust and move
// stock, open and close sales, and repair.
func StockAct(e *event.Event, at time.Time) (a Act, of shard.Shard, ok bool) {
	switch {
	case e.Kind == event.KindAdjust:
		a.Act = "stock.adjust"
	case e.Kind == event.KindTransferOut:
		a.Act = "stock.transfer_out"
	case e.Kind == event.KindTransferIn:
		a.Act = "stock.transfer_in"
	case e.Corrects():
		a.Act = "stock.repair"
	default:
		return a, of, false
	}
	a.Author, a.Object, a.Why = Author{operator, "stock"}, Of("sku", e.Cell.SKU), e.Change.Reason
	if e.User > 0 {
		a.Actor = Of("admin", e.User)
	}
	a.Ref = fmt.Sprintf("stock:%v:%d.%d", e.Reservation, e.Epoch, e.Seq)
	a.Changes = []Change{{Name: "at", After: at.UTC().Format(time.RFC3339Nano)}}
	if e.Cell.Pool != 0 {
		a.Changes = append(a.Changes, Change{Name: "sale_id", After: fmt.Sprint(e.Cell.Pool)})
	}
	if e.Cell.Bucket != 0 {
		a.Changes = append(a.Changes, Change{Name: "bucket", After: e.Cell.Bucket})
	}
	if e.Kind == event.KindRebase {
		a.Changes = append(a.Changes, Change{Name: "avail", After: e.Avail}, Change{Name: "held", After: e.Held}, Change{Name: "sold", After: e.Sold})
	} else if e.Change.Delta != 0 {
		a.Changes = append(a.Changes, Change{Name: "total", Before: e.Total() - e.Change.Delta, After: e.Total()})
	}
	a.Changes = append(a.Changes, settingsOf(e.Change)...)
	return a, shard.OfProduct(ids.Product(e.Cell.SKU / ids.SKUsMax)), true
}

// settingsOf are the settings that were set. Events do not say what they were before.
func settingsOf(c event.Change) (all []Change) {
	s := c.Settings
	for _, setting := range []struct {
		field stock.Fields
		name  string
		value any
	}{
		{stock.FieldLimit, "limit_per_user", s.Limit},
		{stock.FieldOpensAt, "opens_at_ms", s.OpensAtMS},
		{stock.FieldClosesAt, "closes_at_ms", s.ClosesAtMS},
		{stock.FieldHold, "hold_ms", s.Hold.Milliseconds()},
		{stock.FieldExtendMax, "extend_max_ms", s.ExtendMax.Milliseconds()},
		{stock.FieldAck, "acknowledge", s.Ack.String()},
		{stock.FieldShopperDeducts, "shopper_deducts", s.ShopperDeducts},
		{stock.FieldFrozen, "frozen", s.Frozen},
	} {
		if c.Fields&setting.field != 0 {
			all = append(all, Change{Name: setting.name, After: setting.value})
		}
	}
	return all
}

// told is an act that an event tells of, and where it is written down.
type told struct {
	Act
	of shard.Shard
	at int // its place among all of a call
}

// Stock writes down the acts that encoded batches of events tell of: those of a place in one transaction. Acts that are there
// already are left. What is no batch is an act too, so that nothing is passed over in silence: names says where each batch is.
func (l Log) Stock(ctx context.Context, in *place.Databases, batches [][]byte, names func(i int) string) error {
	byPlace := map[string][]told{}
	add := func(a Act, of shard.Shard) {
		at := in.At(of).Name
		byPlace[at] = append(byPlace[at], told{a, of, len(byPlace[at])})
	}
	for i, data := range batches {
		b, err := event.Decode(data)
		switch {
		case errors.Is(err, event.ErrVersion):
			return fmt.Errorf("events of stock at %s: %w: update this program", names(i), err)
		case err != nil:
			add(Act{
				Author: Author{Actor: "unknown"}, Act: "stock.unreadable", Object: "events:" + names(i), Why: "a message of the topic of stock is no batch of events",
				Ref: "stock:" + names(i),
			}, shard.OfProduct(0))
			continue
		}
		for j := range b.Events {
			if a, of, ok := StockAct(&b.Events[j], time.UnixMilli(b.TimeMS)); ok {
				add(a, of)
			}
		}
	}
	for _, acts := range byPlace {
		// Everybody goes through the chains in one order, or two who write at once could wait for each other.
		slices.SortFunc(acts, func(a, b told) int { return cmp.Or(cmp.Compare(ChainOf(a.of), ChainOf(b.of)), cmp.Compare(a.at, b.at)) })
		p := in.At(acts[0].of)
		for part := range slices.Chunk(acts, actsAtOnce) {
			if _, err := p.Write(ctx, "acts on stock", func(tx *sql.Tx) error {
				for _, a := range part {
					if err := l.Append(ctx, p.In(tx), a.of, a.Act); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// actsAtOnce bounds a transaction, in which others wait for its chains.
const actsAtOnce = 200
