package archive

import (
	"fmt"
	"maps"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// open is a reservation that is held.
type open struct {
	stock.Reservation

	events []stock.Position
}

// Fold adds up the events of a cell, one after the other. It does no I/O. Every checkpoint comes from a Fold: the one
// made from the ledger's rows, and the one made from the file afterwards, which shows that the file has all of them.
type Fold struct {
	at      ledger.Checkpoint
	open    map[stock.ReservationID]*open
	limits  []stock.Position                         // positions of events that set the limit
	owned   map[int64]int64                          // by user: units that count against the limit, as Redis counts them
	touched map[int64]bool                           // users whose count has changed
	ended   map[stock.ReservationID]stock.Position   // the last event of each reservation that ended, and whose row leaves
	last    map[stock.ReservationID]*ledger.Recorded // the last event of each reservation
	aside   []stock.Position                         // events that do not follow from the one before; a rebase may skip them
}

// FaultError says why the events of a cell do not add up: somebody has changed or removed rows.
type FaultError struct {
	Cell stock.Cell
	Says string
}

// Error implements error.
func (f *FaultError) Error() string { return fmt.Sprintf("%v: %s", f.Cell, f.Says) }

func (f *Fold) fault(format string, values ...any) error {
	return &FaultError{Cell: f.at.Cell, Says: fmt.Sprintf(format, values...)}
}

// NewFold begins at a checkpoint. If the checkpoint has no position, it begins before the first event. kept has, in
// order, the events up to the checkpoint that are still in the ledger. buyers has units of reservations that have
// left, for every user of the events to come.
func NewFold(base ledger.Checkpoint, kept []ledger.Recorded, buyers map[int64]int64) (*Fold, error) {
	f := &Fold{
		at: base, open: map[stock.ReservationID]*open{}, owned: maps.Clone(buyers), touched: map[int64]bool{},
		ended: map[stock.ReservationID]stock.Position{}, last: map[stock.ReservationID]*ledger.Recorded{},
	}
	if f.owned == nil {
		f.owned = map[int64]int64{}
	}
	if base.Seq == 0 {
		f.at.Epoch = 1
		if len(kept) > 0 {
			return nil, f.fault("the ledger has events before the first one")
		}
		return f, nil
	}
	f.at.Settings.Limit = 0
	anchored := false
	for i := range kept {
		e := &kept[i]
		switch {
		case e.Kind.Adjusts():
			f.adjust(e)
		case e.Kind == event.KindReserve || e.Kind == event.KindExtend:
			f.hold(e)
		}
		if e.Position == base.Position {
			anchored = e.Avail == base.Avail && e.Held == base.Held && e.Sold == base.Sold
		}
	}
	if !anchored {
		return nil, f.fault("the ledger's row of %d.%d is not what the checkpoint there says: one of the two was edited", base.Epoch, base.Seq)
	}
	f.at.Settings = base.Settings
	clear(f.touched)
	if held := f.held(); base.Epoch == 1 && held != base.Held {
		return nil, f.fault("%d units are held at the checkpoint %d.%d, and the rows that were kept have %d", base.Held, base.Epoch, base.Seq, held)
	}
	return f, nil
}

func (f *Fold) held() (units int64) {
	for _, o := range f.open {
		units += o.Quantity
	}
	return units
}

func (f *Fold) adjust(e *ledger.Recorded) {
	if e.Change.Settings.Limit != f.at.Settings.Limit || e.Change.Fields&stock.FieldLimit != 0 || e.Kind == event.KindRebase {
		f.limits = append(f.limits, e.Position)
	}
	f.at.Settings = e.Change.Settings
}

func (f *Fold) hold(e *ledger.Recorded) {
	o := f.open[e.Reservation]
	if o == nil || e.Kind == event.KindReserve {
		o = &open{Reservation: stock.Reservation{
			ID: e.Reservation, State: stock.StateHeld, Cell: e.Cell, User: e.User, Quantity: e.Quantity, Fingerprint: e.Fingerprint,
		}}
		o.Counted = f.count(e)
		f.open[e.Reservation] = o
	}
	o.Seq, o.DeadlineMS = e.Seq, e.DeadlineMS
	o.events = append(o.events, e.Position)
}

// count adds the units of an event to its user's count, if the cell has a limit.
func (f *Fold) count(e *ledger.Recorded) bool {
	if f.at.Settings.Limit == 0 {
		return false
	}
	f.owned[e.User] += e.Quantity
	f.touched[e.User] = true
	return true
}

// takeOff subtracts units from a user's count, which never falls below 0.
func (f *Fold) takeOff(user, units int64) {
	f.owned[user] = max(0, f.owned[user]-units)
	f.touched[user] = true
}

// Apply adds the next row of the ledger. If a row does not follow from the row before, it waits for a rebase that skips
// it.
func (f *Fold) Apply(e *ledger.Recorded) error {
	if !e.Follows(f.at.Position) {
		f.aside = append(f.aside, e.Position)
		return nil
	}
	if err := e.Check(); err != nil {
		return f.fault("the row of %d.%d has values that no event can have: %v", e.Epoch, e.Seq, err)
	}
	avail, held, sold := e.Before()
	if e.Kind != event.KindRebase && (avail != f.at.Avail || held != f.at.Held || sold != f.at.Sold) {
		return f.fault("the row of %d.%d found %d, %d, %d available, held and sold, but %d, %d, %d were left to it", e.Epoch, e.Seq,
			avail, held, sold, f.at.Avail, f.at.Held, f.at.Sold)
	}
	if err := f.reservation(e); err != nil {
		return err
	}
	f.at.Position, f.at.Avail, f.at.Held, f.at.Sold = e.Position, e.Avail, e.Held, e.Sold
	f.at.TimeMS = max(f.at.TimeMS, e.TimeMS) // the clock of Redis may step back
	f.at.Events += int64(1 + len(f.aside))
	f.aside = f.aside[:0]
	return nil
}

func (f *Fold) reservation(e *ledger.Recorded) error {
	if e.Kind.Adjusts() {
		f.adjust(e)
		return nil
	}
	f.last[e.Reservation] = e
	delete(f.ended, e.Reservation)
	if e.Kind == event.KindReserve || e.Kind == event.KindExtend {
		f.hold(e)
		return nil
	}
	if e.Kind == event.KindReturn { // its row stays, so that nobody takes it for one that never arrived
		f.takeOff(e.User, e.Quantity)
		return nil
	}
	o := f.open[e.Reservation]
	delete(f.open, e.Reservation)
	if o == nil && e.Kind != event.KindDeduct {
		return f.fault("%v at %d.%d is about a reservation that is not held", e.Kind, e.Epoch, e.Seq)
	}
	f.ended[e.Reservation] = e.Position
	switch {
	case e.Kind == event.KindDeduct:
		f.count(e)
	case e.Kind == event.KindConfirm:
		f.touched[e.User] = true // a held unit has become a bought one
	case o.Counted:
		f.takeOff(e.User, o.Quantity)
	}
	return nil
}

// Checkpoint returns the checkpoint at which the fold is.
func (f *Fold) Checkpoint() ledger.Checkpoint { return f.at }

// Kept returns the events up to the checkpoint that stay in the ledger.
func (f *Fold) Kept() map[stock.Position]bool {
	kept := map[stock.Position]bool{f.at.Position: true}
	for _, at := range f.limits {
		kept[at] = true
	}
	for _, o := range f.open {
		for _, at := range o.events {
			kept[at] = true
		}
	}
	return kept
}

// Buyers returns, for each user whose count has changed, the units of reservations that ended.
func (f *Fold) Buyers() map[int64]int64 {
	buyers := map[int64]int64{}
	for user := range f.touched {
		buyers[user] = f.owned[user]
	}
	for _, o := range f.open {
		if o.Counted && f.touched[o.User] {
			buyers[o.User] -= o.Quantity
		}
	}
	return buyers
}

// same says how two folds of the same events differ. It returns an empty text if they do not.
func (f *Fold) same(o *Fold) string {
	switch {
	case f.at != o.at:
		return fmt.Sprintf("it comes to %v, not %v, or to other settings or counts", stateOf(&f.at), stateOf(&o.at))
	case !maps.Equal(f.Buyers(), o.Buyers()):
		return "it gives users other counts"
	case !maps.Equal(f.ended, o.ended) || !maps.Equal(f.Kept(), o.Kept()):
		return "other reservations are open after it"
	}
	return ""
}
