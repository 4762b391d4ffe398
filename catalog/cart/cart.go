// Package cart has the carts of shoppers, and of guests who have no session. It keeps which SKUs they chose and how many, and asks others
// what these are, cost, and whether units are free. It decides nothing about stock, and keeps no text that anybody wrote.
package cart

import (
	"cmp"
	"slices"
	"time"

	"sluice/core/ids"
	"sluice/core/money"
)

// Bounds of a cart.
const (
	LinesMax    = 100 // with those that are saved for later: the edge tells the stock of so many in one answer
	QuantityMax = 999
)

// Line is how many units of a SKU are in a cart.
type Line struct {
	SKU      int64
	Quantity int
	Later    bool          // saved for later: a checkout leaves it out
	At       time.Time     // when it was put in
	Was      *money.Amount // what a unit cost then; nil: nobody knew
}

// same reports whether two lines say the same of a SKU, whenever they were put in.
func (l Line) same(other Line) bool {
	return l.SKU == other.SKU && l.Quantity == other.Quantity && l.Later == other.Later
}

// Cart is a cart as it is kept. Its lines are ordered by when they were put in, and by SKU.
type Cart struct {
	// Version counts its changes. A cart that nobody has changed yet has version 1 and no lines.
	Version int64
	Lines   []Line
}

// find is the index of the line of a SKU, or -1.
func (c Cart) find(sku int64) int {
	return slices.IndexFunc(c.Lines, func(l Line) bool { return l.SKU == sku })
}

// Put sets how many units of a SKU are in the cart, and whether they are saved for later. If the cart says so already, nothing changes. A
// line that is there keeps its place, and the price that it was put in at.
func (c Cart) Put(l Line) (Cart, error) {
	if err := l.check(); err != nil {
		return Cart{}, err
	}
	i := c.find(l.SKU)
	switch {
	case i >= 0 && c.Lines[i].same(l):
		return c, nil
	case i < 0 && len(c.Lines) >= LinesMax:
		return Cart{}, errFull
	case i >= 0:
		l.At, l.Was = c.Lines[i].At, c.Lines[i].Was
	}
	c = c.without(l.SKU)
	c.Lines = append(c.Lines, l)
	c.order()
	return c, nil
}

// Remove takes the line of a SKU out. If there is none, nothing changes.
func (c Cart) Remove(sku int64) Cart {
	if c.find(sku) < 0 {
		return c
	}
	return c.without(sku)
}

// Empty takes all lines out.
func (c Cart) Empty() Cart {
	c.Lines = nil
	return c
}

// without is a copy that has no line of the SKU. The lines of the cart itself stay as they are.
func (c Cart) without(sku int64) Cart {
	kept := make([]Line, 0, len(c.Lines)+1)
	for _, l := range c.Lines {
		if l.SKU != sku {
			kept = append(kept, l)
		}
	}
	c.Lines = kept
	return c
}

func (c Cart) order() {
	slices.SortFunc(c.Lines, func(a, b Line) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.SKU, b.SKU)) })
}

// equal reports whether two carts have the same lines.
func (c Cart) equal(other Cart) bool {
	return slices.EqualFunc(c.Lines, other.Lines, func(a, b Line) bool { return a.same(b) && a.At.Equal(b.At) })
}

// skus are those of the lines.
func (c Cart) skus() []int64 {
	all := make([]int64, 0, len(c.Lines))
	for _, l := range c.Lines {
		all = append(all, l.SKU)
	}
	return all
}

// check refuses a line that no cart has.
func (l Line) check() error {
	if _, _, ok := ids.ProductOf(l.SKU); !ok {
		return errUnknownSKU
	}
	if l.Quantity < 1 || l.Quantity > QuantityMax {
		return malformed("/quantity", "want 1 to %d", QuantityMax)
	}
	return nil
}
