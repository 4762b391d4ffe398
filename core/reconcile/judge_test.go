package reconcile_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
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
type reading struct {
	reconcile.View

	cut       int          // events before it have happened when the counters are read
	persisted map[int]bool // events that the ledger has
}

// read reads the world as a reader may find it: counters at a cut, records later, and any events in MySQL, the others in the
// outbox or in Kafka.
func (w *world) read(atRest bool) *reading {
	r := &reading{cut: len(w.events), persisted: map[int]bool{}}
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
func (w *world) judge(r *reading) reconcile.Judgement {
	v := r.View
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

// What is under way is no drift, at whatever place the counters were read.
func TestWhatIsUnderWayIsNoDrift(t *testing.T) {
	t.Parallel()
	flying := 0
	seeds(t, 3000, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorld(t, seed, 1+int(seed%60))
		r := w.read(seed%4 == 0)
		found := w.judge(r)
		if len(found.Findings) > 0 {
			t.Errorf("%s at %d of %d: %+v", found.Class, r.cut, len(w.events), found.Findings)
		}
		if want := map[bool]reconcile.Class{true: reconcile.InFlight, false: reconcile.InSync}[found.Behind > 0]; found.Class != want {
			t.Errorf("%s with %d events under way", found.Class, found.Behind)
		}
		flying += int(found.Behind)
	})
	if flying == 0 {
		t.Error("nothing was ever under way")
	}
}

// What was before a rebase was dealt with: it is no drift, wherever the counters and the ledger stand. What of it comes to light
// later is.
func TestRebasesAreNoDrift(t *testing.T) {
	t.Parallel()
	late := 0
	seeds(t, 3000, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorldOf(t, seed, 1+int(seed%200), true)
		r := w.read(seed%4 == 0)
		if found := w.judge(r); len(found.Findings) > 0 {
			t.Errorf("%s at %d of %d: %+v", found.Class, r.cut, len(w.events), found.Findings)
		}
		for i := range r.Events {
			e := r.Events[i]
			if e.Kind != event.KindRebase || r.Redis.Less(e.Position) || e.Change.From.Less(r.From) {
				continue
			}
			lost := w.events[0]
			lost.Position, lost.Store = stock.Position{Epoch: e.Change.From.Epoch, Seq: e.Change.From.Seq + 1}, reconcile.InKafka
			r.Events = append(r.Events, lost)
			if found := w.judge(r); len(found.Findings) != 1 || found.Findings[0].Type != reconcile.Fork {
				t.Errorf("with an event from before a rebase: %+v", found.Findings)
			}
			late++
			break
		}
	})
	if late == 0 {
		t.Error("no event ever came late")
	}
}

// A gap that a rebase ended is no gap.
func TestGapsEndAtARebase(t *testing.T) {
	t.Parallel()
	gaps := 0
	seeds(t, 1000, func(t *testing.T, seed uint64) {
		t.Helper()
		w := newWorldOf(t, seed, 20+int(seed%40), true)
		r := w.read(true)
		for i, e := range w.events {
			if e.Kind == event.KindRebase && i > 2 && w.events[i-2].Kind.Adjusts() && r.From.Less(w.events[i-2].Position) && w.events[i-1].Kind != event.KindRebase {
				w.without(r, i-2)
				gaps++
				break
			}
		}
		if found := w.judge(r); len(found.Findings) > 0 {
			t.Errorf("%+v", found.Findings)
		}
	})
	if gaps == 0 {
		t.Error("there never was a gap")
	}
}

// injection is a difference that somebody makes by hand. It returns what must be found, or no type where it cannot be made.
type injection func(w *world, r *reading) (units int64, way reconcile.Direction, ok bool)

func (r *reading) record(ok func(stock.Reservation) bool) *stock.Reservation {
	for i := range r.Records {
		if ok(r.Records[i]) {
			return &r.Records[i]
		}
	}
	return nil
}

// held is a record that was held at the cut and still is.
func (r *reading) held() *stock.Reservation {
	return r.record(func(s stock.Reservation) bool { return s.State == stock.StateHeld && s.Seq <= r.Redis.Seq })
}

// without takes the event at a place out of all stores.
func (w *world) without(r *reading, at int) {
	var left []reconcile.Event
	for _, e := range r.Events {
		if e.Seq != uint64(at)+1 {
			left = append(left, e)
		}
	}
	r.Events = left
	delete(r.persisted, at)
}

var injections = map[reconcile.Type]map[string]injection{
	reconcile.CounterEdit: {
		"avail is raised": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Redis.Avail += 2
			return 2, reconcile.Oversell, true
		},
		"avail and total are lowered": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Redis.Avail, r.Redis.Total = r.Redis.Avail-3, r.Redis.Total-3
			return 3, reconcile.Undersell, true
		},
		"held is raised": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Redis.Held++
			return 1, reconcile.Bookkeeping, true
		},
		"sold becomes held": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Redis.Held, r.Redis.Sold = r.Redis.Held+1, r.Redis.Sold-1
			return 1, reconcile.Oversell, true
		},
		"later events build on it": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			from := r.From.Seq + 1 + uint64(w.IntN(5))
			if from >= r.Redis.Seq || from == 1 {
				return 0, "", false
			}
			for i := range r.Events {
				if r.Events[i].Seq > from {
					r.Events[i].Avail += 4
				}
			}
			r.Redis.Avail, r.Redis.Total = r.Redis.Avail+4, r.Redis.Total+4
			if p := r.Projection; p != nil && p.Seq > from {
				p.Avail, p.Total = p.Avail+4, p.Total+4
			}
			return 4, reconcile.Oversell, true
		},
	},
	reconcile.LeakedHold: {
		"a record is deleted": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			still := map[stock.ReservationID]bool{}
			for _, s := range w.held() {
				still[s.ID] = s.Seq <= r.Redis.Seq // what is deleted neither ends nor is extended later
			}
			gone := r.record(func(s stock.Reservation) bool { return still[s.ID] && s.Seq <= r.Redis.Seq })
			if gone == nil {
				return 0, "", false
			}
			units := gone.Quantity
			*gone = r.Records[len(r.Records)-1]
			r.Records = r.Records[:len(r.Records)-1]
			r.Buyers = nil
			return units, reconcile.Undersell, true
		},
		"a record says released": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			edited := r.held()
			if edited == nil {
				return 0, "", false
			}
			edited.State = stock.StateReleased
			r.Buyers = nil
			return edited.Quantity, reconcile.Undersell, true
		},
		"no list of deadlines has it": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			late := r.held()
			if late == nil {
				return 0, "", false
			}
			r.Overdue = append(r.Overdue, late.ID)
			return late.Quantity, reconcile.Undersell, true
		},
	},
	reconcile.OrphanReservation: {
		"a record is made": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Records = append(r.Records, stock.Reservation{ID: stock.ReservationID{9, 9, 9}, State: stock.StateHeld, Cell: r.Cell, User: 77, Quantity: 2, Seq: 1})
			return 2, reconcile.Oversell, true
		},
		"a record holds more": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			more := r.held()
			if more == nil {
				return 0, "", false
			}
			more.Quantity += 3
			r.Buyers = nil
			return 3, reconcile.Oversell, true
		},
	},
	reconcile.DoubleRelease: {
		"an ended reservation is held again": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			again := r.record(func(s stock.Reservation) bool {
				return s.Seq <= r.Redis.Seq && (s.State == stock.StateReleased || s.State == stock.StateExpired)
			})
			if again == nil {
				return 0, "", false
			}
			again.State = stock.StateHeld
			return again.Quantity, reconcile.Oversell, true
		},
	},
	reconcile.BuyerCount: {
		"too low": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			at := slices.IndexFunc(r.Buyers, func(b reconcile.Buyer) bool { return b.User != returner && b.Units > 0 })
			if at < 0 || r.cut < len(w.events) {
				return 0, "", false
			}
			r.Buyers[at].Units--
			return 1, reconcile.Oversell, true
		},
		"too high": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Buyers = append(r.Buyers, reconcile.Buyer{User: 777, Units: 2})
			return 2, reconcile.Undersell, true
		},
	},
	reconcile.Gap: {
		"an event is nowhere": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			at := int(r.From.Seq) + w.IntN(r.cut)
			if at >= r.cut || at < int(r.From.Seq) {
				return 0, "", false
			}
			e := w.events[at]
			if r.Projection != nil && r.Projection.Seq == e.Seq && r.Redis.Less(e.Position) {
				return 0, "", false
			}
			if r.persisted[at] && !e.Kind.Adjusts() {
				return 0, "", false // its reservation's row would tell of it
			}
			w.without(r, at)
			units := e.Quantity
			switch {
			case e.Kind == event.KindExtend:
				units = 0
			case e.Kind.Adjusts():
				units = max(e.Change.Delta, -e.Change.Delta)
			}
			return units, reconcile.Bookkeeping, true
		},
	},
	reconcile.LostTail: {
		"Redis is set back": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			// Everything up to the end was known before, and Redis stands at the cut.
			if r.cut == len(w.events) {
				return 0, "", false
			}
			whole := w.events[len(w.events)-1]
			r.Known = whole.Position
			known := map[uint64]bool{}
			for _, e := range r.Events {
				known[e.Seq] = true
			}
			for _, e := range w.events[r.cut:] {
				if !known[e.Seq] {
					e.Store = reconcile.InKafka
					r.Events = append(r.Events, e)
				}
			}
			r.Records = append([]stock.Reservation(nil), w.states[r.cut-1]...)
			have, want := r.Redis.Balances, balances(&whole)
			var more, less int64
			for _, d := range []int64{have.Avail - want.Avail, have.Held - want.Held, have.Sold - want.Sold} {
				more, less = more+max(d, 0), less+max(-d, 0)
			}
			way := reconcile.Bookkeeping
			switch {
			case have.Avail > want.Avail, have.Avail == want.Avail && have.Sold < want.Sold:
				way = reconcile.Oversell
			case have.Avail < want.Avail, have.Sold > want.Sold: // of a return, Redis has more sold
				way = reconcile.Undersell
			}
			return max(more, less), way, true
		},
		"Redis has no such cell": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Redis, r.Records = nil, nil
			var last *reconcile.Event
			for i := range r.Events {
				if e := &r.Events[i]; last == nil || last.Seq < e.Seq {
					last = e
				}
			}
			return last.Total(), reconcile.Undersell, last.Avail > 0
		},
	},
	reconcile.ProjectionStale: {
		"a row of stock is edited": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			if r.Projection == nil {
				return 0, "", false
			}
			r.Projection.Sold, r.Projection.Avail = r.Projection.Sold+2, r.Projection.Avail-2
			return 2, reconcile.Bookkeeping, true
		},
		"a row of a reservation is edited": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			late := r.held()
			if late == nil {
				return 0, "", false
			}
			for i := range r.Rows {
				if row := &r.Rows[i]; row.ID == late.ID && row.Seq == late.Seq && late.Seq < r.Redis.Seq {
					row.State = stock.StateReleased
					r.Buyers = nil
					return row.Quantity, reconcile.Bookkeeping, true
				}
			}
			return 0, "", false
		},
		"a row of a reservation is deleted": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			late := r.held()
			if late == nil {
				return 0, "", false
			}
			for i := range r.Rows {
				if r.Rows[i].ID == late.ID && r.Rows[i].Seq == late.Seq {
					r.Rows = append(r.Rows[:i], r.Rows[i+1:]...)
					r.Buyers = nil
					return late.Quantity, reconcile.Bookkeeping, true
				}
			}
			return 0, "", false
		},
	},
	reconcile.Fork: {
		"two events are at one place": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			for _, e := range r.Events {
				if e.Kind == event.KindReserve && e.Seq <= r.Redis.Seq && e.Store == reconcile.InLedger && e.Seq > r.From.Seq {
					other := e
					other.Store, other.TimeMS = reconcile.InOutbox, e.TimeMS+1
					r.Events = append(r.Events, other)
					for i := range r.Events { // both came of the outbox
						if x := &r.Events[i]; x.Seq == e.Seq && x.Store != reconcile.InLedger {
							*x = other
						}
					}
					return e.Quantity, reconcile.Bookkeeping, true
				}
			}
			return 0, "", false
		},
		"a row of the ledger is edited": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			for i := range r.Events {
				e := &r.Events[i]
				if e.Seq <= r.From.Seq || e.Seq >= r.Redis.Seq || e.Store != reconcile.InLedger {
					continue
				}
				for j := range r.Events {
					if x := &r.Events[j]; x.Seq == e.Seq && j != i {
						return 0, "", false // the outbox would tell otherwise
					}
				}
				e.Avail += 5
				return 5, reconcile.Bookkeeping, true
			}
			return 0, "", false
		},
	},
	reconcile.DeadLetter: {
		"an event was refused": func(w *world, r *reading) (int64, reconcile.Direction, bool) {
			at := int(r.From.Seq) + w.IntN(r.cut)
			if at >= r.cut || r.persisted[at] {
				return 0, "", false
			}
			e := w.events[at]
			w.without(r, at)
			r.Letters = append(r.Letters, reconcile.Letter{ID: "1", Reason: ledger.ReasonRefused, Position: e.Position, Units: 7, TimeMS: e.TimeMS})
			return 7, reconcile.Bookkeeping, true
		},
	},
	reconcile.Unverifiable: {
		"it could not be read": func(_ *world, r *reading) (int64, reconcile.Direction, bool) {
			r.Unread = "the value of the cell is of an unknown version"
			return 0, reconcile.Bookkeeping, true
		},
	},
}

// Each difference that is made by hand is found, as the one that it is: its type and no other, its size and its direction.
func TestInjectedDriftIsFoundAsWhatItIs(t *testing.T) {
	t.Parallel()
	for kind, ways := range injections {
		for name, inject := range ways {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				t.Parallel()
				made := 0
				seeds(t, 400, func(t *testing.T, seed uint64) {
					t.Helper()
					w := newWorld(t, seed, 2+int(seed%60))
					r := w.read(seed%3 == 0)
					units, way, ok := inject(w, r)
					if !ok {
						return
					}
					made++
					found := w.judge(r)
					if len(found.Findings) != 1 {
						t.Errorf("at %d of %d, from %d: want one %s: %+v", r.cut, len(w.events), r.From.Seq, kind, found.Findings)
						return
					}
					f := found.Findings[0]
					if f.Type != kind || f.Units != units || f.Direction != way || f.Cell() != w.cell {
						t.Errorf("at %d of %d: want %s of %d units, %s: %+v", r.cut, len(w.events), kind, units, way, f)
					}
					if f.Repair == "" || len(f.Proof) == 0 || f.Since < startMS {
						t.Errorf("not proven: %+v", f)
					}
				})
				if made < 20 {
					t.Errorf("made %d times only", made)
				}
			})
		}
	}
}

// A vetting makes held the sum of the holds, and avail the rest: a shift by what a breach before it moved would sell units twice.
func TestNoShiftOfHeldOnceItWasVetted(t *testing.T) {
	t.Parallel()
	for _, edit := range []stock.Balances{{Avail: 2}, {Avail: -2, Held: 2}} {
		w := newWorld(t, 1, 1)
		w.take(event.KindReserve)
		w.take(event.KindReserve)
		settings := stock.Settings{Hold: time.Minute}
		w.adjust(1, settings)
		found := &w.events[len(w.events)-1]
		found.Avail, found.Held = found.Avail+edit.Avail, found.Held+edit.Held
		w.happen(event.KindRebase, stock.Reservation{}, edit.Held, -edit.Held, 0, event.Change{From: found.Position, Settings: settings, Reason: "test"})
		r := w.read(true)
		r.From, r.Events = stock.Position{}, w.events
		steps := w.judge(r).Steps
		at := slices.IndexFunc(steps, func(s reconcile.RepairStep) bool { return s.Act.Shift != nil })
		if at < 0 || (steps[at].Refused != "") != (edit.Held != 0) {
			t.Errorf("%+v: %+v", edit, steps)
		}
	}
}

// A shift moves what all breaches have come to, and tells so many units.
func TestAShiftTellsAllItsUnits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	for range 2 {
		w.adjust(1, stock.Settings{Hold: time.Minute})
		w.events[len(w.events)-1].Avail += 4
	}
	r := w.read(true)
	r.From, r.Events = stock.Position{}, w.events
	found := w.judge(r)
	at := slices.IndexFunc(found.Steps, func(s reconcile.RepairStep) bool { return s.Act.Shift != nil })
	if at < 0 || found.Steps[at].Act.Shift.Avail != -8 || found.Steps[at].Units != 8 {
		t.Errorf("want a shift of 8 units: %+v", found.Steps)
	}
}

// Where a cell has no room for the step of its counters, another step is not refused in its place.
func TestAShiftWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	r := w.read(true)
	r.Redis.Avail += 2
	r.Known = stock.Position{Epoch: r.Redis.Epoch, Seq: r.Redis.Seq + 1} // a lost tail: the shift is refused
	for i := range 5000 {
		r.Records = append(r.Records, stock.Reservation{
			ID: stock.ReservationID{9, byte(i >> 8), byte(i)}, State: stock.StateHeld, Cell: r.Cell, User: 77, Quantity: 1, Seq: 1,
		})
	}
	orphans := 0
	for _, s := range w.judge(r).Steps {
		if s.Type == reconcile.OrphanReservation {
			if orphans++; s.Refused != "" {
				t.Errorf("%s: %s", s.Does, s.Refused)
			}
		}
	}
	if orphans == 0 {
		t.Error("no orphan has a step")
	}
}

// A hold that is restored after it was extended has no more time to be given.
func TestARestoredHoldIsNotExtendedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	w.take(event.KindReserve)
	w.extend()
	r := w.read(true)
	r.From, r.Events, r.Records, r.Buyers = stock.Position{}, w.events, nil, nil
	r.Redis.ExtendMax = 9 * time.Second
	found := w.judge(r)
	at := slices.IndexFunc(found.Steps, func(s reconcile.RepairStep) bool { return s.Act.Record != nil })
	if at < 0 || found.Steps[at].Act.Record.Wanted.ExtendedMS != 9000 {
		t.Errorf("want a hold with 9 s used: %+v", found.Steps)
	}
}

// Units in transit are looked at once the transfer must have ended.
func TestUnitsInTransit(t *testing.T) {
	t.Parallel()
	transit := reconcile.Transit{Cell: stock.Cell{SKU: 5}, Units: 3, SinceMS: startMS, Retention: time.Hour}
	if f := reconcile.JudgeTransit(&transit, startMS+59_999); f != nil {
		t.Errorf("under way: %+v", f)
	}
	f := reconcile.JudgeTransit(&transit, startMS+60_000)
	if f == nil || f.Type != reconcile.TransitStuck || f.Units != 3 || f.Direction != reconcile.Undersell || f.SKU != 5 || f.Since != startMS {
		t.Errorf("stuck: %+v", f)
	}
	if f := reconcile.JudgeTransit(&transit, startMS+55*60_000); f != nil {
		t.Errorf("Redis may be forgetting both halves: %+v", f)
	}
	forgotten := transit
	if forgotten.Forgotten = true; reconcile.JudgeTransit(&forgotten, startMS+60_000) != nil {
		t.Error("Redis has forgotten the half that took units out")
	}
	if transit.Arrived = true; reconcile.JudgeTransit(&transit, startMS+60_000) != nil {
		t.Error("arrived")
	}
}
