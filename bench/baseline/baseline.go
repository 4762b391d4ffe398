// Package baseline sells the units of a SKU in the ways that people sell them without sluice, each as its advocates would
// write it, and in the ways of sluice. All ways are sold from alike, so that they can be compared.
//
// A way is fair if it has what its advocates count on: connections that stay open, prepared statements, pipelines, its
// best number of buyers. It keeps what it needs for a sale that can be accounted for, which is stock and orders, and
// nothing else.
package baseline

import (
	"context"
	"errors"
)

// ErrEnded means that the time was over before a buyer got its turn. Nothing was bought.
var ErrEnded = errors.New("ended before its turn")

// Way is one way to sell.
type Way struct {
	Name   string // on the command line and in reports
	Title  string
	Does   string // what one purchase is, in a sentence
	HTTP   bool   // buyers speak HTTP; otherwise they are goroutines of the program that sells
	Rows   bool   // stock is a row for each unit, so that it cannot be endless
	Buyers []int  // how many may buy at once: whoever compares tries each, and keeps the fastest
	Open   func(context.Context, *Place) (Shop, error)
}

// Shop sells in one way. It sells one SKU after the other.
type Shop interface {
	// Stock puts so many units of a new SKU on sale.
	Stock(ctx context.Context, sku, units int64) error
	// Buyer returns one of those who buy at the same time. The caller closes it, before the shop.
	Buyer() (Buyer, error)
	// Settle waits until what a sale leaves to be done is done. Its CPU belongs to the sale.
	Settle(context.Context) error
	// Count asks every store of the shop what it has of a SKU, after the sale. A shop without stock has no counts.
	Count(ctx context.Context, sku int64) ([]Count, error)
	// Clear forgets what a sale left behind, so that the next one finds the shop as this one did.
	Clear(ctx context.Context, sku int64) error
	// Processes are those that take part beside this one, by name.
	Processes() map[string]int
	Close() error
}

// Buyer buys one unit after the other. One goroutine uses it at a time.
type Buyer interface {
	// Buy buys one unit. It reports whether there was one left. ctx ends waits for a turn, with ErrEnded, and no call that
	// is under way.
	Buy(ctx context.Context, o Order) (bool, error)
	Close()
}

// Order is what a buyer asks for: one unit.
type Order struct {
	SKU, User int64
	Number    int64 // no two orders have the same
}

// Count is what a store has of a SKU.
type Count struct {
	Store  string
	Left   int64 // units
	Orders int64
}

// Empty is the name of the way that sells nothing: what HTTP alone costs.
const Empty = "empty"

// Ways are all ways, those without HTTP first.
func Ways() []Way {
	return []Way{
		emptyWay,
		scriptWay, scriptPipelinedWay, watchWay, lockWay,
		updateWay, skipLockedWay,
		engineWay, edgeWay, everythingWay,
	}
}
