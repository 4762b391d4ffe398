// Package shard says where the shop's rows are. Every row belongs to a logical shard, which follows from its key alone and
// never changes. A Map, which a file has, puts the logical shards into databases and tables. This package opens no
// database.
package shard

import (
	"fmt"
	"time"

	"sluice/core/ids"
)

// Count is the number of logical shards of a kind; of checkouts, in each month.
const Count = ids.Genes

// Kind is what a logical shard has rows of.
type Kind uint8

// The kinds.
const (
	Users     Kind = iota // and what hangs on them, by the hash of the user id
	Products              // and their SKUs, by range
	Values                // values that are unique or looked up: names, e-mails, phones, providers' numbers, by their hash
	Checkouts             // and what hangs on them, by month and gene
	kinds
)

// String is the name that the file has for the kind.
func (k Kind) String() string {
	return [...]string{"users", "products", "values", "checkouts"}[k]
}

// Shard is a logical shard. All others but those of checkouts have the month 0. Of* make it.
type Shard struct {
	Kind   Kind
	Month  Month
	Number uint16 // 0 to Count-1
}

// String names the shard for people.
func (s Shard) String() string {
	if s.Kind == Checkouts {
		return fmt.Sprintf("%s %s shard %d", s.Kind, s.Month, s.Number)
	}
	return fmt.Sprintf("%s shard %d", s.Kind, s.Number)
}

// OfUser is the shard of a user. Its number is the user's gene.
func OfUser(user int64) Shard { return Shard{Kind: Users, Number: uint16(ids.GeneOf(user))} }

// productBits is the width of the number of a product in its shard: 2^50 products in 2^10 shards.
const productBits = 40

// OfProduct is the shard of a product: each has a range of 2^40 ids. That of a SKU is its product's.
func OfProduct(product ids.Product) Shard {
	return Shard{Kind: Products, Number: uint16(product >> productBits & (Count - 1))}
}

// ProductsOf is the range of a shard's products, both ends included. New ones come from blocks in it.
func ProductsOf(number uint16) (first, last ids.Product) {
	first = ids.Product(number) << productBits
	return max(first, 1), first + 1<<productBits - 1
}

// OfValue is the shard of a value that has a key of its own. The caller brings equal values into one form first.
func OfValue[T ~string | ~[]byte](value T) Shard {
	return Shard{Kind: Values, Number: ids.Hash([]byte(value))}
}

// OfTimed is the shard of a checkout, or of what hangs on it.
func OfTimed[T ids.Timed](id T) Shard {
	return Shard{Kind: Checkouts, Month: MonthOf(ids.At(id)), Number: uint16(ids.GeneIn(id))}
}

// OfMonth is the shard that has a user's checkouts of a month.
func OfMonth(month Month, user int64) Shard {
	return Shard{Kind: Checkouts, Month: month, Number: uint16(ids.GeneOf(user))}
}

// Month is a calendar month in UTC: 0 is the one in which ids begin, January 2024.
type Month uint16

var (
	epochYear = ids.Epoch.Year()
	months    = int(MonthOf(ids.Latest)) + 1 // that ids can tell
)

// MonthOf is the month of a time. No id has a time before ids.Epoch or after ids.Latest: such a time counts as the nearest
// one that an id can have.
func MonthOf(at time.Time) Month {
	switch {
	case at.Before(ids.Epoch):
		at = ids.Epoch
	case at.After(ids.Latest):
		at = ids.Latest
	}
	year, month, _ := at.UTC().Date()
	return Month((year-epochYear)*12 + int(month-time.January))
}

// String is the month as 2024-01.
func (m Month) String() string {
	return fmt.Sprintf("%04d-%02d", epochYear+int(m)/12, m%12+1)
}

func parseMonth(text string) (Month, bool) {
	at, err := time.Parse("2006-01", text)
	if err != nil || at.Before(ids.Epoch) || at.After(ids.Latest) {
		return 0, false
	}
	month := MonthOf(at)
	return month, month.String() == text
}
