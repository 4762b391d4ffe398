package stock

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// BasketLinesMax is the most lines of a basket.
const BasketLinesMax = 50

// Line is one line of a basket: units of one cell, and the id of the reservation that holds them.
type Line struct {
	ID       ReservationID
	Cell     Cell
	Quantity int64
}

// Basket is a request to hold units of several cells, all or none.
type Basket struct {
	User        int64
	Fingerprint uint32 // of all lines; the records of its lines have it too
	// Lines has each cell once: first those in the partition of the smallest cell, which is the basket's home, then those of
	// the other partitions, one after the other.
	Lines []Line
}

// ItemError says that an item of a basket is wrong. Item is its index, or -1 if all items together are wrong.
type ItemError struct {
	Item int
	Err  error
}

// Why a list of items is no basket.
var (
	ErrBasketLines = fmt.Errorf("want 1 to %d items", BasketLinesMax)
	ErrBasketSum   = fmt.Errorf("the items of this SKU are more than %d units together", QuantityMax)
	ErrBasketItem  = errors.New("want a SKU and a quantity within the bounds of one reservation")
)

// Error implements error.
func (e *ItemError) Error() string { return e.Err.Error() }

// Unwrap makes errors.Is find what is wrong.
func (e *ItemError) Unwrap() error { return e.Err }

// NewBasket makes the basket of a user's request, in a deployment of so many partitions. Items need no ids. Those of one
// cell are summed. Its lines' ids follow from user, cell and key, so that everybody knows them before.
func NewBasket(user int64, key string, items []Line, partitions int) (Basket, error) {
	if len(items) == 0 || len(items) > BasketLinesMax {
		return Basket{}, &ItemError{-1, ErrBasketLines}
	}
	b := Basket{User: user}
	for i, item := range items {
		if item.Cell.SKU < 1 || item.Quantity < 1 || item.Quantity > QuantityMax {
			return Basket{}, &ItemError{i, ErrBasketItem}
		}
		at := slices.IndexFunc(b.Lines, func(l Line) bool { return l.Cell == item.Cell })
		if at < 0 {
			item.ID = Identity{User: user, Route: OpGather, Cell: item.Cell, Key: key}.ID(partitions)
			b.Lines = append(b.Lines, item)
			continue
		}
		if b.Lines[at].Quantity += item.Quantity; b.Lines[at].Quantity > QuantityMax {
			return Basket{}, &ItemError{i, ErrBasketSum}
		}
	}
	slices.SortFunc(b.Lines, func(x, y Line) int { return x.Cell.Compare(y.Cell) })
	numbers := make([]int64, 0, 3*len(b.Lines))
	for _, l := range b.Lines {
		numbers = append(numbers, l.Cell.SKU, int64(l.Cell.Pool), l.Quantity)
	}
	b.Fingerprint = FingerprintOf(numbers...)
	home := b.Lines[0].ID.Partition()
	place := func(l Line) int {
		if l.ID.Partition() == home {
			return -1
		}
		return l.ID.Partition()
	}
	slices.SortStableFunc(b.Lines, func(x, y Line) int { return cmp.Compare(place(x), place(y)) })
	return b, nil
}

// ID names a basket: it is the id of its smallest line, with whose record the basket's own is kept and forgotten.
func (b *Basket) ID() ReservationID { return b.Lines[0].ID }

// Parts are the lines of each partition, those at home first.
func (b *Basket) Parts() [][]Line {
	var parts [][]Line
	for from := 0; from < len(b.Lines); {
		to := from + 1
		for to < len(b.Lines) && b.Lines[to].ID.Partition() == b.Lines[from].ID.Partition() {
			to++
		}
		parts = append(parts, b.Lines[from:to])
		from = to
	}
	return parts
}

// BasketState is how far a basket has come. Held and refused are final.
type BasketState uint8

// The states, as Redis stores them.
const (
	BasketNone     BasketState = 0 // no such basket
	BasketBegun    BasketState = 1 // its lines at home are held, others may be
	BasketHeld     BasketState = 2
	BasketRefusing BasketState = 3 // it will be refused, and lines may be held still
	BasketRefused  BasketState = 4 // none of its lines is held, nor ever will be
)

var basketNames = [...]string{"none", "begun", "held", "refusing", "refused"}

// String is the state's word.
func (s BasketState) String() string {
	if int(s) < len(basketNames) {
		return basketNames[s]
	}
	return fmt.Sprintf("basket(%d)", uint8(s))
}

// Decided reports whether a state is final. The scripts know by the last bit.
func (s BasketState) Decided() bool { return s == BasketHeld || s == BasketRefused }

// BasketRecord is the record of a basket, at its home.
type BasketRecord struct {
	State       BasketState
	Refusal     Verdict // of a line, if the state is BasketRefusing or BasketRefused
	Line        uint8   // which line is refused
	Fingerprint uint32
	// Intact, of BasketBegun, says that nobody has decided the basket for certain: Redis has lost nothing since it was begun. If it
	// is false, the basket may have been held, and Redis may have lost that.
	Intact bool
}

// Undecided is a basket that is begun or refusing.
type Undecided struct {
	Basket
	SinceMS int64 // Redis time at which it was begun
	Err     error // why the basket cannot be read; then Basket is empty
}

// Part is shared by the requests of one basket in a vector. These requests follow each other, and have all lines of the
// basket in the vector's partition.
type Part struct {
	// Home is the basket if the partition is its home, and nil otherwise.
	Home *Basket
	// Held, of OpGather, says that the basket is held. Then the script takes no line, and returns each line in its
	// state.
	Held bool
	// To, of OpDecide, is BasketHeld, or BasketRefusing for a refusal of a line. Intact says that the lines were gathered for an
	// intact record. If it is intact no longer, the script decides nothing.
	To      BasketState
	Refusal Verdict
	Line    uint8
	Intact  bool
}

// Gather decides by the record of a line's id whether the script takes the line: VerdictOK if it does. If the basket
// has taken the line before, the line must still be held or confirmed.
func (r Reservation) Gather(fingerprint uint32, basketHeld bool, nowMS int64) Verdict {
	state := r.StateAt(nowMS)
	switch {
	case state == StateNone && basketHeld:
		return VerdictUnknownReservation
	case state == StateNone:
		return VerdictOK
	case r.Fingerprint != fingerprint:
		return VerdictMismatch
	case basketHeld, state == StateHeld, state == StateConfirmed:
		return VerdictReplayed
	}
	return VerdictWrongState
}

// Gather returns the verdict on all lines at home. VerdictOK means that the script decides line by line.
func (b BasketRecord) Gather(fingerprint uint32) Verdict {
	switch {
	case b.State == BasketNone:
		return VerdictOK
	case b.Fingerprint != fingerprint:
		return VerdictMismatch
	case b.State >= BasketRefusing:
		return VerdictRefused
	}
	return VerdictOK
}

// Gathered returns the record of a basket after a gather at home. verdict is that of the first refused line, VerdictOK
// if there is none. all says that the basket has no lines elsewhere, and fresh that nobody had taken those at home before.
// Passing verdicts, VerdictBackpressure and VerdictMismatch are not recorded. VerdictWrongState refuses a basket that is
// intact. It decides nothing about another one: the basket has taken the line before, so it may have been held, which only
// all lines together tell.
func (b BasketRecord) Gathered(fingerprint uint32, all, fresh bool, verdict Verdict, line int) BasketRecord {
	switch {
	case b.State == BasketHeld, verdict.Passing(), verdict == VerdictBackpressure, verdict == VerdictMismatch:
		return b
	case verdict != VerdictOK && (verdict != VerdictWrongState || b.Intact):
		return BasketRecord{State: BasketRefusing, Refusal: verdict, Line: uint8(min(line, math.MaxUint8)), Fingerprint: fingerprint}
	case b.State == BasketBegun:
		return b
	case all && verdict == VerdictOK:
		return BasketRecord{State: BasketHeld, Fingerprint: fingerprint}
	}
	return BasketRecord{State: BasketBegun, Fingerprint: fingerprint, Intact: fresh}
}

// belongs returns VerdictOK if the record is that of the basket with this fingerprint.
func (b BasketRecord) belongs(fingerprint uint32) Verdict {
	switch {
	case b.State == BasketNone:
		return VerdictUnknownReservation
	case b.Fingerprint != fingerprint:
		return VerdictMismatch
	}
	return VerdictOK
}

// Decide returns VerdictOK if the record may change to this state. intact says that it was intact when the lines were gathered.
func (b BasketRecord) Decide(fingerprint uint32, to BasketState, intact bool) Verdict {
	if verdict := b.belongs(fingerprint); verdict != VerdictOK {
		return verdict
	}
	switch {
	case b.State == to:
		return VerdictReplayed
	case b.State != BasketBegun, intact && !b.Intact:
		return VerdictWrongState
	}
	return VerdictOK
}

// Void returns VerdictOK if the lines of the basket may be given back.
func (b BasketRecord) Void(fingerprint uint32) Verdict {
	if verdict := b.belongs(fingerprint); verdict != VerdictOK {
		return verdict
	}
	switch {
	case b.State == BasketRefused:
		return VerdictRefused
	case b.State != BasketRefusing:
		return VerdictWrongState
	}
	return VerdictOK
}

// Void decides about a line of a refused basket. VerdictOK: its units go back. VerdictUnknownReservation: nobody has
// taken it, and a released record has to keep others from it. If its deadline has passed, the sweep gives the units
// back.
func (r Reservation) Void(fingerprint uint32, nowMS int64) Verdict {
	switch {
	case r.State == StateNone:
		return VerdictUnknownReservation
	case r.Fingerprint != fingerprint:
		return VerdictMismatch
	case r.StateAt(nowMS) != StateHeld:
		return VerdictReplayed
	}
	return VerdictOK
}

// Spent returns a released record for a line that nobody has taken and nobody may take any more. It had no event, so
// its seq is 0.
func (r *Request) Spent() Reservation {
	return Reservation{ID: r.ID, State: StateReleased, Cell: r.Cell, User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint}
}

// Refused reports whether a verdict refuses its request. A line that is refused refuses its basket.
func (v Verdict) Refused() bool { return v != VerdictOK && v != VerdictReplayed }

// WasHeld reports whether a basket may have been held before, by the last answer about each of its lines: the basket has taken
// every line, and one of them has its units still. The other lines have ended since. A line has no seq if it was given back
// without having been taken.
func WasHeld(lines []Outcome, nowMS int64) bool {
	live := false
	for i := range lines {
		o := &lines[i]
		if o.Verdict != VerdictReplayed && o.Verdict != VerdictWrongState || o.Reservation.Seq == 0 {
			return false
		}
		state := o.Reservation.StateAt(nowMS)
		live = live || state == StateHeld || state == StateConfirmed
	}
	return live
}

// Passing reports whether a verdict on a line passes by itself: a replica or the registered users come back. It does not
// decide the line's basket.
func (v Verdict) Passing() bool { return v == VerdictReplicaMissing || v == VerdictUsersMissing }

// Stuck reports whether a verdict on a line keeps its units where they are: the cell is shut until somebody opens it.
func (v Verdict) Stuck() bool { return v == VerdictFenced || v == VerdictBreached }
