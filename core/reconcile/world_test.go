package reconcile_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// world is a cell's history as it happened, from which views are read.
type world struct {
	*rand.Rand

	t      *testing.T
	cell   stock.Cell
	events []reconcile.Event // seq 1 is events[0]
	states [][]stock.Reservation
	buyers []map[int64]int64 // after each event
}

const (
	startMS = 1_700_000_000_000
	limit   = 50
)

// newWorld makes a history of so many events.
func newWorld(t *testing.T, seed uint64, events int) *world {
	t.Helper()
	return newWorldOf(t, seed, events, false)
}

// newWorldOf makes a history that goes on over rebases, or has none.
func newWorldOf(t *testing.T, seed uint64, events int, rebases bool) *world {
	t.Helper()
	w := &world{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, cell: stock.Cell{SKU: 1 + int64(seed%1000), Pool: uint32(seed % 3)}}
	settings := stock.Settings{Hold: time.Minute, Limit: limit}
	w.adjust(1000, settings)
	for len(w.events) < events {
		switch n := w.IntN(20); {
		case rebases && w.IntN(10) == 0:
			w.rebase(settings)
		case n == 0:
			w.adjust(int64(w.IntN(40))-10, settings)
		case n < 10 || len(w.held()) == 0:
			w.take(event.KindReserve)
		case n < 12:
			w.take(event.KindDeduct)
		case n == 12:
			w.extend()
		case n == 13:
			w.giveBack()
		default:
			w.settle([]event.Kind{event.KindConfirm, event.KindRelease, event.KindExpire}[w.IntN(3)])
		}
	}
	return w
}

// last is the last event, and what it left.
func (w *world) last() (e reconcile.Event, records []stock.Reservation, buyers map[int64]int64) {
	buyers = map[int64]int64{}
	if len(w.events) == 0 {
		return e, nil, buyers
	}
	n := len(w.events) - 1
	for user, units := range w.buyers[n] {
		buyers[user] = units
	}
	return w.events[n], append([]stock.Reservation(nil), w.states[n]...), buyers
}

func (w *world) held() (held []stock.Reservation) {
	_, records, _ := w.last()
	for _, r := range records {
		if r.State == stock.StateHeld {
			held = append(held, r)
		}
	}
	return held
}

// happen appends an event that changes the balances of the last one.
func (w *world) happen(kind event.Kind, r stock.Reservation, avail, held, sold int64, change event.Change) {
	last, records, buyers := w.last()
	e := reconcile.Event{TimeMS: startMS + int64(len(w.events))*10, Store: reconcile.InLedger}
	e.Kind, e.Reservation, e.User, e.Quantity, e.Cell, e.DeadlineMS = kind, r.ID, r.User, r.Quantity, w.cell, r.DeadlineMS
	e.Position = stock.Position{Epoch: max(1, last.Epoch), Seq: uint64(len(w.events)) + 1}
	if kind == event.KindRebase {
		e.Epoch++
	}
	e.Avail, e.Held, e.Sold, e.Change = last.Avail+avail, last.Held+held, last.Sold+sold, change
	w.events = append(w.events, e)
	if !kind.Adjusts() {
		r.State, r.Seq = kind.State(), e.Seq
		at := -1
		for i := range records {
			if records[i].ID == r.ID {
				at = i
			}
		}
		switch {
		case at < 0 && kind == event.KindReturn:
			records = append(records, r)
			buyers[r.User] = max(0, buyers[r.User]-r.Quantity)
		case at < 0:
			records = append(records, r)
			buyers[r.User] += r.Quantity
		default:
			records[at] = r
			if kind == event.KindRelease || kind == event.KindExpire {
				buyers[r.User] = max(0, buyers[r.User]-r.Quantity)
			}
		}
		for i := range records {
			if records[i].ID == r.ID {
				records[i].Counted = r.State == stock.StateHeld || r.State == stock.StateConfirmed
			}
		}
	}
	w.states, w.buyers = append(w.states, records), append(w.buyers, buyers)
}

func (w *world) adjust(delta int64, s stock.Settings) {
	w.happen(event.KindAdjust, stock.Reservation{}, delta, 0, 0, event.Change{Delta: delta, Settings: s, Reason: "test"})
}

// rebase begins an epoch, and may declare units lost that were sold.
func (w *world) rebase(s stock.Settings) {
	last, _, _ := w.last()
	lost := min(last.Sold, w.Int64N(3))
	w.happen(event.KindRebase, stock.Reservation{}, lost, 0, -lost, event.Change{From: last.Position, Settings: s, Reason: "test"})
}

func (w *world) take(kind event.Kind) {
	n := 1 + w.Int64N(3)
	r := stock.Reservation{Cell: w.cell, User: 1 + w.Int64N(9), Quantity: n}
	for i := range r.ID {
		r.ID[i] = byte(w.IntN(256))
	}
	if kind == event.KindReserve {
		r.DeadlineMS = startMS + 1_000_000
		w.happen(kind, r, -n, n, 0, event.Change{})
	} else {
		w.happen(kind, r, -n, 0, n, event.Change{})
	}
}

func (w *world) extend() {
	held := w.held()
	r := held[w.IntN(len(held))]
	r.DeadlineMS += 1000
	w.happen(event.KindExtend, r, 0, 0, 0, event.Change{})
}

// returner is the only user who returns anything, so that the counts of others are exact.
const returner = 9

func (w *world) giveBack() {
	last, _, _ := w.last()
	r := stock.Reservation{Cell: w.cell, User: returner, Quantity: 1 + w.Int64N(3)}
	for i := range r.ID {
		r.ID[i] = byte(w.IntN(256))
	}
	if last.Sold >= r.Quantity {
		w.happen(event.KindReturn, r, r.Quantity, 0, -r.Quantity, event.Change{Reason: "test"})
	}
}

func (w *world) settle(kind event.Kind) {
	held := w.held()
	r := held[w.IntN(len(held))]
	if kind == event.KindConfirm {
		w.happen(kind, r, 0, -r.Quantity, r.Quantity, event.Change{})
	} else {
		w.happen(kind, r, r.Quantity, -r.Quantity, 0, event.Change{})
	}
}

func balances(e *reconcile.Event) stock.Balances {
	return stock.Balances{Avail: e.Avail, Held: e.Held, Sold: e.Sold, Total: e.Total()}
}

// reading is a view, with what of it a test may need to change.
type closeLook struct {
	reconcile.View

	cut       int          // events before it have happened when the counters are read
	persisted map[int]bool // events that the ledger has
}

// read reads the world as a reader may find it: counters at a cut, records later, and any events in MySQL, the others in the
// outbox or in Kafka.
func (w *world) read(atRest bool) *closeLook {
	r := &closeLook{cut: len(w.events), persisted: map[int]bool{}}
	if !atRest {
		r.cut = 1 + w.IntN(len(w.events))
	}
	v := &r.View
	v.Cell, v.NowMS = w.cell, startMS+1_000
	state := stock.CellState{Cell: w.cell, Loaded: true, Position: w.events[r.cut-1].Position, Balances: balances(&w.events[r.cut-1])}
	v.Redis = &state

	whole := w.IntN(r.cut + 1) // the ledger has all up to here
	if atRest {
		whole = r.cut
	}
	highest, rows := 0, map[stock.ReservationID]reconcile.Row{}
	for i := range w.events {
		e := w.events[i]
		if i < whole || !atRest && w.IntN(2) == 0 {
			r.persisted[i], highest = true, i+1
			if e.Kind.Adjusts() {
				continue
			}
			row := rows[e.Reservation]
			if row.ReservedMS == 0 {
				row.ReservedMS = e.TimeMS
			}
			row.Reservation = stock.Reservation{
				ID: e.Reservation, State: e.Kind.State(), Cell: w.cell, User: e.User, Quantity: e.Quantity, Seq: e.Seq, DeadlineMS: e.DeadlineMS,
			}
			row.Epoch, row.UpdatedMS = e.Epoch, e.TimeMS
			rows[e.Reservation] = row
		}
	}
	applied := 0
	if whole > 0 {
		applied = w.IntN(whole + 1)
	}
	if applied > 0 {
		v.From = w.events[applied-1].Position
	}
	for i, e := range w.events {
		if r.persisted[i] && i+1 >= applied {
			v.Events = append(v.Events, e)
		}
		later := i >= r.cut
		if !r.persisted[i] && !later || w.IntN(3) == 0 { // what is later may be anywhere
			e.Store = reconcile.InOutbox
			if w.IntN(4) == 0 {
				e.Store = reconcile.InKafka
			}
			v.Events = append(v.Events, e)
		}
	}
	w.Shuffle(len(v.Events), func(i, j int) { v.Events[i], v.Events[j] = v.Events[j], v.Events[i] })
	if highest > 0 {
		e := &w.events[highest-1]
		v.Projection = &reconcile.State{Position: e.Position, Balances: balances(e)}
		v.UpdatedMS = e.TimeMS
	}
	for _, row := range rows {
		v.Rows = append(v.Rows, row)
	}
	// Records are read one by one, after the counters.
	final := w.states[len(w.states)-1]
	for _, record := range final {
		at := r.cut - 1 + w.IntN(len(w.events)-r.cut+1)
		for _, s := range w.states[at] {
			if s.ID == record.ID {
				v.Records = append(v.Records, s)
			}
		}
	}
	for user, units := range w.buyers[r.cut-1] {
		v.Buyers = append(v.Buyers, reconcile.Buyer{User: user, Units: units})
	}
	v.Limits = []reconcile.Limit{{FromMS: startMS - 1, Applied: true}}
	return r
}

// judge gives the rules what they ask for.
func (w *world) judge(r *closeLook) reconcile.Judgement {
	v := r.View
	v.Spots = v.Unlisted()
	for _, m := range v.Doubtful() {
		for i, e := range w.events {
			if e.Position == m && r.persisted[i] {
				v.Spots = append(v.Spots, e)
			}
		}
	}
	return reconcile.Judge(&v)
}

// seeds are so many, printed where one fails.
func seeds(t *testing.T, n uint64, do func(t *testing.T, seed uint64)) {
	t.Helper()
	first := uint64(time.Now().UnixNano()) % 1_000_000_000
	for seed := first; seed < first+n; seed++ {
		if do(t, seed); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
