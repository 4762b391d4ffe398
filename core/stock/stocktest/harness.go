package stocktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/core/event"
	"sluice/core/stock"
)

// nextSKU makes every case's SKUs its own, also among the runs that share a server.
var nextSKU = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(rand.Int64N(1<<40) << 20)
	return &n
}()

// hold is a hold time that does not end during a test.
const hold = time.Hour

// harness is a store with short words for the calls of cases. It checks every call against the parts of the contract
// that hold for all calls.
type harness struct {
	tb
	Fixture
	test  testing.TB // the test that the fixture belongs to
	store Store
}

// tb is the part that a test and a run of rapid share.
type tb interface {
	rapid.TB
	Cleanup(func())
}

func newHarness(t testing.TB, f Fixture) *harness {
	t.Helper()
	return &harness{tb: t, Fixture: f, test: t, store: f.Open(t, Options{})}
}

// with is the harness with another store over the same stock.
func (h *harness) with(o Options) *harness {
	other := *h
	other.store = h.Open(h.test, o)
	return &other
}

func newCell() stock.Cell { return stock.Cell{SKU: nextSKU.Add(1)} }

// neighbours are n cells of one partition: one of normal stock, the others of sales that no other case has.
func (h *harness) neighbours(n int) []stock.Cell {
	var cells []stock.Cell
	for len(cells) < n {
		c := newCell()
		if len(cells) > 0 {
			c.Pool = uint32(c.SKU)
		}
		if len(cells) == 0 || c.Partition(h.store.Partitions()) == cells[0].Partition(h.store.Partitions()) {
			cells = append(cells, c)
		}
	}
	return cells
}

// load makes a new cell with so many units. Its events are audited when the case ends.
func (h *harness) load(units int64, s stock.Settings) stock.Cell {
	h.Helper()
	cell := newCell()
	h.loadCell(cell, units, s)
	return cell
}

func (h *harness) loadCell(cell stock.Cell, units int64, s stock.Settings) {
	h.Helper()
	if s.Hold == 0 {
		s.Hold = hold
	}
	h.want(h.adjust(cell, "load", stock.Adjustment{Create: true, Delta: units, Settings: s}), stock.VerdictOK)
	h.Cleanup(func() {
		if err := Audit(context.Background(), h.store, cell); err != nil && !h.Failed() {
			h.Errorf("audit: %v", err)
		}
	})
}

// take is the request of a reserve or deduct.
func (h *harness) take(op stock.Op, cell stock.Cell, user int64, key string, quantity int64) stock.Request {
	return stock.Request{
		ID:          stock.Identity{User: user, Route: op, Cell: cell, Key: key}.ID(h.store.Partitions()),
		Cell:        cell,
		User:        user,
		Quantity:    quantity,
		Fingerprint: stock.FingerprintOf(quantity),
	}
}

func (h *harness) reserve(cell stock.Cell, user int64, key string, quantity int64) stock.Outcome {
	h.Helper()
	return h.one(stock.OpReserve, h.take(stock.OpReserve, cell, user, key, quantity))
}

func (h *harness) deduct(cell stock.Cell, user int64, key string, quantity int64) stock.Outcome {
	h.Helper()
	return h.one(stock.OpDeduct, h.take(stock.OpDeduct, cell, user, key, quantity))
}

// held is a reservation that the case takes for granted.
func (h *harness) held(cell stock.Cell, user int64, key string, quantity int64) stock.Reservation {
	h.Helper()
	outcome := h.reserve(cell, user, key, quantity)
	h.want(outcome, stock.VerdictOK)
	return outcome.Reservation
}

func (h *harness) confirm(r stock.Reservation, user int64) stock.Outcome {
	h.Helper()
	return h.one(stock.OpConfirm, stock.Request{ID: r.ID, User: user})
}

func (h *harness) release(r stock.Reservation, user int64) stock.Outcome {
	h.Helper()
	return h.one(stock.OpRelease, stock.Request{ID: r.ID, Cell: r.Cell, User: user})
}

// extend asks for a deadline.
func (h *harness) extend(r stock.Reservation, user, deadlineMS int64) stock.Outcome {
	h.Helper()
	return h.one(stock.OpExtend, stock.Request{ID: r.ID, User: user, DeadlineMS: deadlineMS})
}

// comesBack is the request of a return.
func (h *harness) comesBack(cell stock.Cell, user int64, key string, quantity int64) stock.Request {
	r := h.take(stock.OpReturn, cell, user, key, quantity)
	r.Reason = "did not fit"
	return r
}

func (h *harness) giveBack(cell stock.Cell, user int64, key string, quantity int64) stock.Outcome {
	h.Helper()
	return h.one(stock.OpReturn, h.comesBack(cell, user, key, quantity))
}

func (h *harness) adjustment(cell stock.Cell, key string, a stock.Adjustment) stock.Request {
	if a.Kind == 0 {
		a.Kind = stock.AdjustPlain
	}
	if a.Reason == "" {
		a.Reason = "test"
	}
	return stock.Request{
		ID:          stock.Identity{User: admin, Route: stock.OpAdjust, Cell: cell, Key: key}.ID(h.store.Partitions()),
		Cell:        cell,
		User:        admin,
		Fingerprint: a.Fingerprint(),
		Adjustment:  &a,
	}
}

// admin is the user of adjustments.
const admin = 7

func (h *harness) adjust(cell stock.Cell, key string, a stock.Adjustment) stock.Outcome {
	h.Helper()
	return h.one(stock.OpAdjust, h.adjustment(cell, key, a))
}

// register registers users for the sale of a cell, in the cell's partition.
func (h *harness) register(cell stock.Cell, users ...int64) (added int) {
	h.Helper()
	added, err := h.store.Register(context.Background(), cell.Partition(h.store.Partitions()), cell.Pool, users)
	if err != nil {
		h.Fatal(err)
	}
	return added
}

// vouch has the store know all users of the sale of a cell, who are no more than these.
func (h *harness) vouch(cell stock.Cell, users int64) {
	h.Helper()
	if there := h.Vouch(h.test, cell, users); there < users {
		h.Fatalf("%d users, want %d", there, users)
	}
}

// set changes settings of a cell.
func (h *harness) set(cell stock.Cell, key string, fields stock.Fields, s stock.Settings) {
	h.Helper()
	h.want(h.adjust(cell, key, stock.Adjustment{Fields: fields, Settings: s}), stock.VerdictOK)
}

func (h *harness) one(op stock.Op, r stock.Request) stock.Outcome {
	h.Helper()
	return h.do(op, r).Outcomes[0]
}

// do executes a vector and checks the rules for all vectors.
func (h *harness) do(op stock.Op, requests ...stock.Request) *stock.Vector {
	h.Helper()
	v := &stock.Vector{Op: op, Partition: requests[0].ID.Partition(), Requests: requests}
	h.store.Do(context.Background(), v)
	if v.Err != nil {
		h.Fatalf("%v: %v", op, v.Err)
	}
	if err := checkVector(v); err != nil {
		h.Fatalf("%v: %v", op, err)
	}
	return v
}

// checkVector checks that the results of a vector agree with each other: one outcome per request, and one event per
// effect, in order, which agrees with record and cell.
func checkVector(v *stock.Vector) error {
	if len(v.Outcomes) != len(v.Requests) {
		return fmt.Errorf("%d outcomes for %d requests", len(v.Outcomes), len(v.Requests))
	}
	if v.TimeMS <= 0 {
		return fmt.Errorf("time %d", v.TimeMS)
	}
	var events []event.Event
	if v.Entry.ID != "" {
		b, err := event.Decode(v.Entry.Data)
		if err != nil {
			return err
		}
		if b.Partition != v.Partition || v.Entry.Partition != v.Partition || b.TimeMS != v.TimeMS {
			return fmt.Errorf("entry %s of partition %d and time %d for a vector of partition %d and time %d",
				v.Entry.ID, b.Partition, b.TimeMS, v.Partition, v.TimeMS)
		}
		events = b.Events
	}
	last := map[stock.Cell]event.Event{}
	for i, outcome := range v.Outcomes {
		if outcome.Verdict != stock.VerdictOK || v.Op == stock.OpDecide {
			continue
		}
		if len(events) == 0 {
			return fmt.Errorf("request %d has no event", i)
		}
		e := events[0]
		events = events[1:]
		last[e.Cell] = e
		if diff := cmp.Diff(recordOf(e), told(outcome.Reservation)); diff != "" {
			return fmt.Errorf("request %d: event and record differ:\n%s", i, diff)
		}
		if r := v.Requests[i]; e.Reservation != r.ID || kindOf(v.Op, r.Adjustment) != e.Kind {
			return fmt.Errorf("request %d: %v event of %v", i, e.Kind, e.Reservation)
		}
	}
	if len(events) != 0 {
		return fmt.Errorf("%d events too many", len(events))
	}
	for cell, e := range last {
		i := slices.IndexFunc(v.Cells, func(s stock.CellState) bool { return s.Cell == cell })
		if i < 0 || v.Cells[i].Position != e.Position || v.Cells[i].Balances != balancesOf(e) {
			return fmt.Errorf("cells %+v do not agree with the last event %+v", v.Cells, e)
		}
	}
	return nil
}

func kindOf(op stock.Op, a *stock.Adjustment) event.Kind {
	switch op {
	case stock.OpReserve, stock.OpGather:
		return event.KindReserve
	case stock.OpConfirm:
		return event.KindConfirm
	case stock.OpRelease, stock.OpVoid:
		return event.KindRelease
	case stock.OpDeduct:
		return event.KindDeduct
	case stock.OpAdjust:
		return event.Kind(a.Kind)
	case stock.OpReturn:
		return event.KindReturn
	case stock.OpExtend:
		return event.KindExtend
	case stock.OpDecide: // has none
	}
	return 0
}

// recordOf is the record of a reservation as its event tells it: all but whether it counts, and how far it was extended.
func recordOf(e event.Event) stock.Reservation {
	return stock.Reservation{
		ID: e.Reservation, State: e.Kind.State(), Cell: e.Cell, User: e.User, Quantity: e.Quantity,
		Fingerprint: e.Fingerprint, Seq: e.Seq, DeadlineMS: e.DeadlineMS,
	}
}

// told returns the members of a record that an event has too.
func told(r stock.Reservation) stock.Reservation {
	r.Counted, r.ExtendedMS = false, 0
	return r
}

func balancesOf(e event.Event) stock.Balances {
	return stock.Balances{Avail: e.Avail, Held: e.Held, Sold: e.Sold, Total: e.Total()}
}

func (h *harness) want(o stock.Outcome, v stock.Verdict) {
	h.Helper()
	if o.Verdict != v {
		h.Fatalf("verdict %v, want %v", o.Verdict, v)
	}
}

// wantRecord checks a verdict and the state of the record that comes with it.
func (h *harness) wantRecord(o stock.Outcome, v stock.Verdict, s stock.State) {
	h.Helper()
	h.want(o, v)
	if o.Reservation.State != s {
		h.Fatalf("%v with a record in state %v, want %v", v, o.Reservation.State, s)
	}
}

// wantAll checks the verdicts of a vector.
func (h *harness) wantAll(v *stock.Vector, want ...stock.Verdict) {
	h.Helper()
	var got []stock.Verdict
	for _, o := range v.Outcomes {
		got = append(got, o.Verdict)
	}
	if !slices.Equal(got, want) {
		h.Fatalf("verdicts %v, want %v", got, want)
	}
}

// state reads a cell.
func (h *harness) state(cell stock.Cell) stock.CellState {
	h.Helper()
	states, _, err := h.store.Cells(context.Background(), []stock.Cell{cell})
	if err != nil {
		h.Fatal(err)
	}
	return states[0]
}

// wantUnits checks avail, held and sold of a cell.
func (h *harness) wantUnits(cell stock.Cell, avail, held, sold int64) {
	h.Helper()
	got, want := h.state(cell).Balances, stock.Balances{Avail: avail, Held: held, Sold: sold, Total: avail + held + sold}
	if got != want {
		h.Fatalf("%v has %+v, want %+v", cell, got, want)
	}
}

// record reads a reservation.
func (h *harness) record(id stock.ReservationID) stock.Reservation {
	h.Helper()
	found, _, err := h.store.Reservations(context.Background(), []stock.ReservationID{id})
	if err != nil {
		h.Fatal(err)
	}
	return found[0]
}

// now is the store's time.
func (h *harness) now() int64 {
	h.Helper()
	_, now, err := h.store.Cells(context.Background(), []stock.Cell{{SKU: 1}})
	if err != nil {
		h.Fatal(err)
	}
	return now
}

// waitUntil comes back when the store's time has reached ms.
func (h *harness) waitUntil(ms int64) {
	h.Helper()
	if h.Advance != nil {
		h.Advance(ms)
	}
	giveUp := time.NewTimer(20 * time.Second)
	defer giveUp.Stop()
	for left := ms - h.now(); left > 0; left = ms - h.now() {
		select {
		case <-time.After(time.Duration(left) * time.Millisecond):
		case <-giveUp.C:
			h.Fatalf("the store's time is still %d ms before %d", left, ms)
		}
	}
}

// expire sweeps the partition of a cell until nothing is due in it.
func (h *harness) expire(cell stock.Cell) {
	h.Helper()
	for range 1000 {
		sweep, err := h.store.Expire(context.Background(), cell.Partition(h.store.Partitions()), 1000)
		if err != nil {
			h.Fatal(err)
		}
		if !sweep.More {
			return
		}
	}
	h.Fatal("the sweep does not end")
}

// events are the events of a cell, from the outbox.
func (h *harness) events(cell stock.Cell) []event.Event {
	h.Helper()
	history, err := readHistory(context.Background(), h.store, cell)
	if err != nil {
		h.Fatal(err)
	}
	var events []event.Event
	for _, moment := range history {
		events = append(events, moment.Event)
	}
	return events
}
