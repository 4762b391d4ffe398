package reconcile

import (
	"fmt"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// Event is an event as a store has it.
type Event struct {
	event.Event

	TimeMS int64 // Redis time
	Store  Store // InLedger, InOutbox or InKafka
}

// same reports whether two are one event, wherever they were read.
func (e *Event) same(o *Event) bool { return e.Event == o.Event && e.TimeMS == o.TimeMS }

// after returns the cell's balances after the event.
func (e *Event) after() stock.Balances {
	return stock.Balances{Avail: e.Avail, Held: e.Held, Sold: e.Sold, Total: e.Total()}
}

// before returns the balances that the event found.
func (e *Event) before() stock.Balances {
	avail, held, sold := e.Before()
	return stock.Balances{Avail: avail, Held: held, Sold: sold, Total: avail + held + sold}
}

// applied returns the balances that the event makes from others.
func (e *Event) applied(to stock.Balances) stock.Balances {
	found, left := e.before(), e.after()
	return stock.Balances{
		Avail: to.Avail + left.Avail - found.Avail, Held: to.Held + left.Held - found.Held,
		Sold: to.Sold + left.Sold - found.Sold, Total: to.Total + left.Total - found.Total,
	}
}

// units returns how many units the event moved.
func (e *Event) units() int64 {
	if e.Kind.Adjusts() {
		return max(e.Change.Delta, -e.Change.Delta)
	}
	return e.Quantity
}

// proof returns the event as proof.
func (e *Event) proof(says string) Proof {
	return Proof{
		Store: e.Store, Says: fmt.Sprintf("%s, %v", says, e.Kind), Epoch: e.Epoch, Seq: e.Seq, Reservation: e.Reservation.String(),
		Units: e.units(), Counters: counted(e.after()),
	}
}

// Row is a reservation as MySQL's table of reservations has it.
type Row = ledger.Row

// Letter is an unresolved dead letter.
type Letter struct {
	ID     string
	Reason string // a word of package ledger
	stock.Position
	Units  int64
	TimeMS int64 // when the persister wrote it
	Event  *Event
}

// Buyer is a user's count in Redis, and the count by the user's reservations.
type Buyer struct {
	User  int64
	Units int64 // the count in Redis
}

// Limit says whether a limit applied from a Redis time on.
type Limit struct {
	FromMS  int64
	Applied bool
}

// View has the data of all stores about one cell, read in the order that the package comment demands. Events are at the
// positions of the ledger's key.
type View struct {
	Cell  stock.Cell
	NowMS int64 // Redis time

	Redis   *stock.CellState // the counters at the cut; nil: Redis does not have the cell
	Reached uint64           // the cell's seq after its records were read, if some were beyond the cut; 0: nobody has asked, or it is gone
	Known   stock.Position   // the highest position that MySQL, Kafka or a dead letter had before Redis was read

	Projection *State         // nil: MySQL does not have the cell
	UpdatedMS  int64          // Redis time of the projection
	From       stock.Position // Events begin here, with the event of this position; seq 0: with the first event
	Events     []Event        // in any order, some several times
	Spots      []Event        // events of the ledger at the positions that Doubtful returns
	Rows       []Row          // all held ones, and those that records, events and buyers name
	Records    []stock.Reservation
	Overdue    []stock.ReservationID // held past their deadline, and in no list of deadlines
	Buyers     []Buyer               // users whose count does not fit the records
	Limits     []Limit               // in the order of time, if they are needed
	Archived   stock.Position        // events up to here have left the ledger for files, except this one and some that are still needed
	Left       map[int64]int64       // units that users have by reservations that have left
	Letters    []Letter
	Lost       *ledger.LostCell // the cell as an edge saw it before Redis lost it; nil: no edge has told of it

	condensed *holds         // the held reservations, condensed; nil: they are not to be compared
	unsummed  bool           // this look has found that they cannot be compared so
	brief     bool           // Rows and Records have not all held ones
	rowsFrom  stock.Position // if brief: they have those of the events from this position on, and those of the users in doubt

	past     *past             // the walk along the events before From; nil: there was none
	ends     map[uint32]uint64 // by epoch: the seq at which a rebase of the ledger has ended it; nil: such a rebase is among Events
	recorded bool              // the ledger has events of the cell, or had when Known was read
	cropped  bool              // the ledger has more events beyond the cut than Events
	returns  bool              // a step of an earlier look returns a hold

	// Unread says why the cell could not be read as a whole. It is empty if it was.
	Unread string
}

// later reports whether a record is of an event later than the cut. One beyond the seq that its cell had reached when the
// record had been read is of no event at all, and is judged as it is; unless the cell has lost its tail, which the records
// may still have.
func (v *View) later(r *stock.Reservation) bool {
	return r.Seq > v.Redis.Seq && (v.Reached == 0 || r.Seq <= v.Reached || v.Redis.Less(v.Known))
}

// walked reports whether the walk has gone along an event.
func (v *View) walked(e *Event) bool { return v.past != nil && e.Less(v.From) }

// users returns the users whose counts are in doubt.
func (v *View) users() []int64 {
	users := make([]int64, len(v.Buyers))
	for i := range v.Buyers {
		users[i] = v.Buyers[i].User
	}
	return users
}

// left reports whether the row of a reservation has left with its last event, although the ledger still has the
// event.
func (v *View) left(e *Event) bool {
	return !v.Archived.Less(e.Position) && e.Kind.State() != stock.StateHeld
}

// summedUp reports whether Left contains a row: that of a return stays when its event leaves.
func (v *View) summedUp(r *Row) bool {
	return r.State == stock.StateReturned && !v.Archived.Less(r.Position())
}

// Judgement says how a cell compares.
type Judgement struct {
	Class    Class
	Findings []Finding
	Steps    []RepairStep // the steps that put the findings right, at least one for each type
	Behind   int64        // events up to the cut that MySQL lacks so far

	nameless  bool                  // held units belong to no reservation that was read
	limitless bool                  // a step returns a hold, and Limits, which say whether it counts, were not read
	uneven    bool                  // the condensed reservations do not agree
	odd       []stock.ReservationID // their records of which no event tells
}
