// Package rebuild computes the state of a cell in Redis from its events: the counters, the records of its reservations,
// and the units that count against its users' limits. Callers write it into a Redis that has lost it. The package does
// no I/O.
//
// If events are missing, it trusts the last known event for total and sold, because balances contain the effect of all
// events before them. So no unit is sold twice. Held is the sum of the known holds, because only these can end. Avail
// is the rest.
package rebuild

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// ErrOrder means that an event came out of the order of positions, or belongs to another cell.
var ErrOrder = errors.New("events are not in the order of their positions")

// Record is the record in Redis of a reservation, deduction, adjustment or return.
type Record struct {
	stock.Reservation

	EndedMS int64 // Redis time at which its retention began; 0: it is held
}

// Cell is the state of a cell in Redis at a position. The zero value means that the cell did not exist yet.
type Cell struct {
	stock.CellState

	Held    []stock.Reservation // open, in the order of their last events
	Revoked []stock.Reservation // holds that were open until the loss, for which the counters have no units any more; the newest is first
	Buyers  map[int64]int64     // units that count against a user's limit
	Lost    Loss

	revoked int // how many of Revoked are revoked
}

// Loss bounds what was lost with the events that are missing since the last rebase.
type Loss struct {
	Events uint64 // that nobody has
	Units  int64  // at most so many units belong to unknown reservations, less the units that came back since
}

// Fold makes a Cell from events. Of their reservations it keeps only open holds and the counts of users.
type Fold struct {
	ended func(Record)
	ends  map[uint32]uint64 // by epoch: its last seq, if a rebase names it

	at     stock.CellState
	held   map[stock.ReservationID]stock.Reservation
	buyers map[int64]int64
	large  bool // held or buyers

	missing   uint64
	whole     uint64 // nothing is missing from this seq on
	knownSold int64  // units whose sale is known, counted since a position at which all sales were known
}

// New begins a fold at a base. The fold calls ended with each record when its reservation ends, and with each record
// that is final from the start. ended may be nil.
func New(base Cell, ended func(Record)) *Fold {
	f := &Fold{ended: ended}
	f.Begin(base)
	return f
}

// largeFrom is how many holds and users make a fold large. Then Begin makes new maps, because clearing large ones takes longer.
const largeFrom = 64

// Begin begins the fold anew at a base. The result of End is not valid any more.
func (f *Fold) Begin(base Cell) {
	f.at, f.knownSold, f.whole, f.missing = base.CellState, base.Sold, base.Seq+1, 0
	if f.large || f.held == nil {
		f.large, f.held, f.buyers = false, map[stock.ReservationID]stock.Reservation{}, map[int64]int64{}
	}
	clear(f.ends)
	clear(f.held)
	clear(f.buyers)
	for _, r := range base.Held {
		f.held[r.ID] = r
	}
	for user, units := range base.Buyers {
		f.buyers[user] = units
	}
}

// EndEpoch says at which position an epoch ended, as the rebase after it tells. Later events of that epoch were
// declared lost and do not count. Call EndEpoch before you add events.
func (f *Fold) EndEpoch(last stock.Position) {
	if f.ends == nil {
		f.ends = map[uint32]uint64{}
	}
	f.ends[last.Epoch] = last.Seq
}

// Checkpoint begins anew from a known state of the cell. bought has the units of each user by reservations that had
// ended by then. Holds that were added before stay and count. Older events may be missing, except those of open holds
// and of settings: only these were used.
func (f *Fold) Checkpoint(at stock.CellState, bought map[int64]int64) {
	f.at, f.missing, f.whole, f.knownSold = at, 0, 0, at.Sold
	f.large = f.large || len(bought) > largeFrom
	for user, units := range bought {
		if f.buyers[user] += units; f.buyers[user] <= 0 {
			delete(f.buyers, user)
		}
	}
}

// Add applies the next event, which happened at a Redis time. An event that comes twice counts once.
func (f *Fold) Add(e *event.Event, timeMS int64) error {
	if end, ended := f.ends[e.Epoch]; ended && e.Seq > end {
		return nil
	}
	if e.Position == f.at.Position {
		return nil
	}
	if f.at.Loaded && (e.Cell != f.at.Cell || e.Less(f.at.Position)) {
		return fmt.Errorf("%w: %d.%d of %v after %d.%d of %v", ErrOrder, e.Epoch, e.Seq, e.Cell, f.at.Epoch, f.at.Seq, f.at.Cell)
	}
	f.miss(e)
	f.large = f.large || len(f.held)+len(f.buyers) > largeFrom
	f.at.Cell, f.at.Position, f.at.Loaded = e.Cell, e.Position, true
	f.at.Balances = stock.Balances{Avail: e.Avail, Held: e.Held, Sold: e.Sold, Total: e.Total()}
	f.apply(e, timeMS)
	return nil
}

// miss counts the events that are missing before an event.
func (f *Fold) miss(e *event.Event) {
	last := e.Seq - 1
	if e.Kind == event.KindRebase {
		last = e.Change.From.Seq
	}
	if last > f.at.Seq {
		f.missing += last - f.at.Seq
		f.whole = e.Seq
	}
}

// apply applies the effect of an event.
func (f *Fold) apply(e *event.Event, timeMS int64) {
	r := stock.Reservation{
		ID: e.Reservation, State: e.Kind.State(), Cell: e.Cell, User: e.User, Quantity: e.Quantity, Fingerprint: e.Fingerprint,
		Seq: e.Seq, DeadlineMS: e.DeadlineMS,
	}
	before, known := f.held[r.ID]
	switch e.Kind {
	case event.KindReserve:
		r.Counted = f.count(&r)
		f.held[r.ID] = r
		return
	case event.KindExtend:
		r.Counted = before.Counted || !known && f.count(&r)
		if known { // otherwise the bound of extensions counts from this deadline
			r.ExtendedMS = before.ExtendedMS + r.DeadlineMS - before.DeadlineMS
		}
		f.held[r.ID] = r
		return
	case event.KindConfirm:
		r.Counted = before.Counted || !known && f.count(&r)
		f.knownSold += e.Quantity
	case event.KindDeduct:
		r.Counted = f.count(&r)
		f.knownSold += e.Quantity
	case event.KindRelease, event.KindExpire, event.KindRevoke:
		f.uncount(&before)
	case event.KindReturn:
		f.takeOff(e.User, e.Quantity)
		f.knownSold -= e.Quantity
	case event.KindAdjust, event.KindTransferOut, event.KindTransferIn:
		f.at.Settings = e.Change.Settings
	case event.KindRebase: // its author knew which events were missing
		f.at.Settings = e.Change.Settings
		f.missing, f.whole, f.knownSold = 0, e.Seq, e.Sold
		if r.ID == (stock.ReservationID{}) {
			return
		}
	}
	delete(f.held, r.ID)
	if f.ended != nil {
		f.ended(Record{Reservation: r, EndedMS: timeMS})
	}
}

// count counts a reservation against its user's limit, if the cell has one now, and reports whether it did.
func (f *Fold) count(r *stock.Reservation) bool {
	if f.at.Limit == 0 {
		return false
	}
	f.buyers[r.User] += r.Quantity
	return true
}

// uncount takes a reservation that gives its units back off its user's count.
func (f *Fold) uncount(r *stock.Reservation) {
	if r.Counted {
		f.takeOff(r.User, r.Quantity)
	}
}

func (f *Fold) takeOff(user, units int64) {
	if left := f.buyers[user] - units; left > 0 {
		f.buyers[user] = left
	} else {
		delete(f.buyers, user)
	}
}

// End ends the fold, and returns the cell after the last event.
func (f *Fold) End() Cell {
	c := Cell{CellState: f.at, Buyers: f.buyers}
	var held, certain int64
	for _, r := range f.held {
		c.Held = append(c.Held, r)
		held += r.Quantity
		if r.Seq >= f.whole {
			certain += r.Quantity
		}
	}
	slices.SortFunc(c.Held, func(a, b stock.Reservation) int { return cmp.Compare(a.Seq, b.Seq) })
	if f.missing > 0 {
		c.Lost.Events = f.missing
		c.Lost.Units = max(0, f.at.Held-certain) + max(0, f.at.Sold-f.knownSold)
		if f.missing <= uint64(stock.UnitsMax/stock.QuantityMax) {
			c.Lost.Units = min(c.Lost.Units, int64(f.missing)*stock.QuantityMax)
		}
		if c.Hold == 0 { // the event with the settings is missing: nobody buys until an operator has set them
			c.Hold, c.Frozen = stock.HoldDefault, true
		}
	}
	for free := c.Total - c.Sold; held > free; {
		last := len(c.Held) - 1
		r := c.Held[last]
		c.Held, c.Revoked = c.Held[:last], append(c.Revoked, r)
		held -= r.Quantity
		f.uncount(&r)
	}
	c.CellState.Held, c.Avail = held, c.Total-c.Sold-held
	return c
}
