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

// Fold is what the events of a cell come to, one after the other. It is pure, and the one way to a checkpoint: that which is
// made of the ledger's rows, and that which is made of a file again to see that it has them all.
type Fold struct {
	at      ledger.Checkpoint
	open    map[stock.ReservationID]*open
	limits  []stock.Position                         // of events that set the limit
	owned   map[int64]int64                          // units that count against users' limits, as Redis counts them
	touched map[int64]bool                           // users whose count has changed
	ended   map[stock.ReservationID]stock.Position   // the last event of each reservation that ended
	last    map[stock.ReservationID]*ledger.Recorded // the last event of each reservation
	aside   []stock.Position                         // events that do not follow: a rebase may pass them over
}

// FaultError is why a cell's events do not come to anything: somebody has changed or removed rows.
type FaultError struct {
	Cell stock.Cell
	Says string
}

// Error implements error.
func (f *FaultError) Error() string { return fmt.Sprintf("%v: %s", f.Cell, f.Says) }

func (f *Fold) fault(format string, values ...any) error {
	return &FaultError{Cell: f.at.Cell, Says: fmt.Sprintf(format, values...)}
}

// NewFold begins with a checkpoint, or before the first event of a cell if the checkpoint has no position. kept are the events
// that the ledger still has up to the checkpoint, in order, and buyers the units of reservations that have left, of all users that
// events to come are about.
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

// count counts what an event took against its user's limit, if the cell has one.
func (f *Fold) count(e *ledger.Recorded) bool {
	if f.at.Settings.Limit == 0 {
		return false
	}
	f.owned[e.User] += e.Quantity
	f.touched[e.User] = true
	return true
}

// takeOff takes units off a user's count, which never falls below 0.
func (f *Fold) takeOff(user, units int64) {
	f.owned[user] = max(0, f.owned[user]-units)
	f.touched[user] = true
}

// Apply takes the next row of the ledger. A row that does not follow waits for a rebase that passes it over.
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
	o := f.open[e.Reservation]
	delete(f.open, e.Reservation)
	if o == nil && e.Kind != event.KindDeduct && e.Kind != event.KindReturn {
		return f.fault("%v at %d.%d is about a reservation that is not held", e.Kind, e.Epoch, e.Seq)
	}
	f.ended[e.Reservation] = e.Position
	switch {
	case e.Kind == event.KindDeduct:
		f.count(e)
	case e.Kind == event.KindReturn:
		f.takeOff(e.User, e.Quantity)
	case e.Kind == event.KindConfirm:
		f.touched[e.User] = true // from what is held to what has been bought
	case o.Counted:
		f.takeOff(e.User, o.Quantity)
	}
	return nil
}

// Checkpoint is where the fold has come to.
func (f *Fold) Checkpoint() ledger.Checkpoint { return f.at }

// Kept are the events up to the checkpoint that stay in the ledger.
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

// Buyers are the units that users have by reservations which ended: of those users whose count has changed.
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

// same says how two folds of the same events differ. It is empty if they do not differ.
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
