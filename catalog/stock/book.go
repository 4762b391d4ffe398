package stock

// Kind is what a line of a document says about units in a warehouse.
type Kind string

// The kinds.
const (
	KindReceived  Kind = "received"  // they came in
	KindShipped   Kind = "shipped"   // they left, sold by the shop
	KindReturned  Kind = "returned"  // they came back from a buyer, and are as new
	KindCorrected Kind = "corrected" // they were found, or are lost or broken
	KindCounted   Kind = "counted"   // so many are there: a snapshot, which is no delta
)

// deltas are the kinds of lines that change units by a quantity.
var deltas = []Kind{KindReceived, KindShipped, KindReturned, KindCorrected}

// move is how a delta changes what is in the warehouse.
func (k Kind) move(quantity int64) int64 {
	if k == KindShipped {
		return -quantity
	}
	return quantity
}

// entry is a line of a document about a SKU in a warehouse. Its position is in the order of the system that counts the warehouse.
type entry struct {
	Document string
	Position int64
	Kind     Kind
	Quantity int64
}

// units are those of a SKU in a warehouse.
type units struct {
	OnHand   int64 // what is there
	Shipped  int64 // what left, ever, as sold by the shop
	Returned int64 // what came back, ever
	Cut      int64 // the position of the count in force; 0: there is none
	Counted  string
}

// in reports whether an entry is in the count in force: a count has all up to its position, that one included.
func (u units) in(e entry) bool { return u.Cut > 0 && e.Position <= u.Cut }

// outdated reports whether a count is older than the one in force. Of two with one position, that with the higher document counts.
func (u units) outdated(e entry) bool {
	return u.Cut > 0 && (e.Position < u.Cut || e.Position == u.Cut && e.Document < u.Counted)
}

// apply adds an entry. After is what deltas with a higher position than a count add up to: it is asked of counts only. The second result
// is what was known at the position of a count, which is compared with it.
//
// What comes out after all entries depends on no order in which they came: fold is the same for all at once.
func (u units) apply(e entry, after int64) (units, int64) {
	if e.Kind == KindCounted {
		known := u.OnHand - after
		if !u.outdated(e) {
			u.OnHand, u.Cut, u.Counted = e.Quantity+after, e.Position, e.Document
		}
		return u, known
	}
	switch e.Kind {
	case KindShipped:
		u.Shipped += e.Quantity
	case KindReturned:
		u.Returned += e.Quantity
	case KindReceived, KindCorrected, KindCounted:
	}
	if !u.in(e) {
		u.OnHand += e.Kind.move(e.Quantity)
	}
	return u, 0
}

// fold is what all entries together are.
func fold(all []entry) (u units) {
	for _, e := range all {
		if e.Kind == KindCounted && !u.outdated(e) {
			u.OnHand, u.Cut, u.Counted = e.Quantity, e.Position, e.Document
		}
	}
	for _, e := range all {
		if e.Kind != KindCounted {
			u, _ = u.apply(e, 0)
		}
	}
	return u
}

// plan is what a seller wants of a SKU.
type plan struct {
	Safe    int64 // units that should be kept
	Reduces bool  // whether they are kept from being sold
	Ahead   int64 // units that may be sold before they are there
}

// target is what the cell of a SKU has to have got: all that was supplied, what may be sold ahead, without what is kept.
func (p plan) target(supplied int64) int64 {
	of := supplied + p.Ahead
	if p.Reduces {
		of -= p.Safe
	}
	return min(max(0, of), unitsMax)
}

// unitsMax is how many units a cell can have, and a warehouse.
const unitsMax = 1<<40 - 1

// crossing says of a SKU whether few units are free, from whether few were. It begins at the bound, and ends once a tenth more than the bound
// is free, at least one unit more: a number that moves about the bound crosses it once.
func crossing(was bool, bound, avail int64) (low bool) {
	if was {
		return avail <= bound+max(1, bound/10)
	}
	return avail <= bound
}
