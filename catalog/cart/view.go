package cart

import (
	"context"
	"time"

	"sluice/catalog/product"
	"sluice/core/ids"
	"sluice/core/money"
)

// Hint says whether the units of a line may be had. The edge decides it when they are reserved.
type Hint string

// The hints.
const (
	HintInStock Hint = "in_stock"
	HintLow     Hint = "low"     // fewer than lowBelow are free
	HintTooFew  Hint = "too_few" // fewer are free than the line has
	HintSoldOut Hint = "sold_out"
)

const (
	lowBelow = 10
	// stockTimeout bounds the wait for hints: a cart is of use without them.
	stockTimeout = 300 * time.Millisecond
)

// hint is that of a line for which so many units are free.
func hint(free int64, quantity int) Hint {
	switch {
	case free <= 0:
		return HintSoldOut
	case free < int64(quantity):
		return HintTooFew
	case free < lowBelow:
		return HintLow
	}
	return HintInStock
}

// Change says what is otherwise than when a line was put in.
type Change string

// The changes.
const (
	ChangeUnavailable Change = "unavailable" // nobody sells it any more
	ChangePriceUp     Change = "price_up"
	ChangePriceDown   Change = "price_down"
)

// ShownLine is a line with what others know of it now.
type ShownLine struct {
	Line

	Sold  *product.Buyable // nil: nobody sells it
	Price *money.Amount    // nil: it has none
	Hint  Hint             // empty: nobody knows
}

// Changes lists what has changed since the line was put in.
func (l ShownLine) Changes() (changes []Change) {
	switch {
	case l.Sold == nil:
		changes = append(changes, ChangeUnavailable)
	case l.Price == nil || l.Was == nil || l.Price.Currency != l.Was.Currency: // there is nothing to compare
	case l.Price.Minor > l.Was.Minor:
		changes = append(changes, ChangePriceUp)
	case l.Price.Minor < l.Was.Minor:
		changes = append(changes, ChangePriceDown)
	}
	return changes
}

// Show adds to lines what others know of them now, each of them asked once. Without hints a cart is of use, so they may be missing.
func (c *Carts) Show(ctx context.Context, user ids.User, lines []Line) ([]ShownLine, error) {
	shown := make([]ShownLine, 0, len(lines))
	if len(lines) == 0 {
		return shown, nil
	}
	skus := Cart{Lines: lines}.skus()
	sold, err := c.products.Buyable(ctx, skus)
	if err != nil {
		return nil, err
	}
	var prices map[int64]money.Amount
	if c.prices != nil {
		if prices, err = c.prices.Units(ctx, user, skus); err != nil {
			return nil, err
		}
	}
	free := c.free(ctx, skus)
	for _, l := range lines {
		of := ShownLine{Line: l}
		if what, ok := sold[l.SKU]; ok {
			of.Sold = &what
			if price, ok := prices[l.SKU]; ok {
				of.Price = &price
			}
			if n, ok := free[l.SKU]; ok {
				of.Hint = hint(n, l.Quantity)
			}
		}
		shown = append(shown, of)
	}
	return shown, nil
}

// free asks the edge, for a short while.
func (c *Carts) free(ctx context.Context, skus []int64) map[int64]int64 {
	if c.stock == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stockTimeout)
	defer cancel()
	free, err := c.stock.Free(ctx, skus)
	if err != nil {
		c.log.DebugContext(ctx, "a cart is shown without hints of stock", "error", err)
	}
	return free
}
