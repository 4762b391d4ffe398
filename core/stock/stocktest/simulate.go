package stocktest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// simRetention is short, so that a simulation can wait for records to be forgotten.
const simRetention = 3 * time.Millisecond

// Simulate does random things to a store and to the model, step by step, and demands the same
// verdicts, records, cells and events of both. Nothing else may sweep the fixture meanwhile. On a
// failure rapid prints the shortest run that fails and the seed with which to repeat it.
func Simulate(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	fixture := newFixture(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := newSimulation(t, rt, fixture)
		rt.Repeat(map[string]func(*rapid.T){
			"":         s.compareState,
			"reserve":  func(rt *rapid.T) { s.take(rt, stock.OpReserve) },
			"more":     func(rt *rapid.T) { s.take(rt, stock.OpReserve) }, // twice as likely
			"deduct":   func(rt *rapid.T) { s.take(rt, stock.OpDeduct) },
			"confirm":  func(rt *rapid.T) { s.settle(rt, stock.OpConfirm) },
			"release":  func(rt *rapid.T) { s.settle(rt, stock.OpRelease) },
			"extend":   s.extend,
			"return":   s.giveBack,
			"gather":   s.gatherSome,
			"decide":   s.decideSome,
			"void":     s.voidSome,
			"age":      s.ageBasket,
			"adjust":   s.adjust,
			"register": s.register,
			"vouch":    s.vouchFor,
			"lose":     s.loseUser,
			"expire":   s.expire,
			"forget":   s.forget,
			"pass":     s.pass,
			"corrupt":  s.corrupt,
		})
	})
}

// simulation is a few cells of one partition in both stores. The model's clock follows the time that the real store
// returns.
type simulation struct {
	*harness
	model   *memstock.Store
	clockMS int64
	cells   []stock.Cell
	away    stock.Cell // in another partition, and larger

	asked    []stock.Request     // reserves and deducts so far, whatever became of them
	adjusted []stock.Request     // adjustments so far, whatever became of them
	granted  []stock.Reservation // as they were when they were granted
	baskets  []*stock.Basket     // begun or refused so far
}

func newSimulation(t *testing.T, rt *rapid.T, f Fixture) *simulation {
	t.Helper()
	s := &simulation{harness: &harness{tb: rt, Fixture: f, test: t, store: f.Open(t, Options{Retention: simRetention})}}
	s.model = memstock.New(s.store.Partitions(), func() int64 { return s.clockMS })
	s.model.Retention = simRetention
	s.cells = s.neighbours(4)
	for s.away = s.cells[0]; s.away.Partition(s.store.Partitions()) == s.cells[0].Partition(s.store.Partitions()); {
		s.away = newCell()
	}
	s.clockMS = s.now()
	for i, settings := range []stock.Settings{ // the last cell is left to be created
		{Hold: hold, ExtendMax: hold}, {Limit: 4, Hold: hold}, {Limit: 8, Hold: 2 * time.Millisecond, ExtendMax: 4 * time.Millisecond, RegisteredOnly: true},
	} {
		s.run(stock.OpAdjust, s.adjustment(s.cells[i], "load", stock.Adjustment{
			Create: true, Delta: int64(10 + 20*i), Settings: settings,
		}))
	}
	s.registerIn(s.cells[2], 1, 2)
	return s
}

// run executes a vector on both stores and compares their answers.
func (s *simulation) run(op stock.Op, requests ...stock.Request) []stock.Outcome {
	s.Helper()
	got := s.do(op, requests...)
	s.clockMS = got.TimeMS
	model := &stock.Vector{Op: op, Partition: got.Partition, Requests: requests}
	s.model.Do(context.Background(), model)
	if model.Err != nil {
		s.Fatalf("model: %v", model.Err)
	}
	if d := diff(model.Outcomes, got.Outcomes); d != "" {
		s.Fatalf("%v %+v: outcomes differ (-model +store):\n%s", op, requests, d)
	}
	if !bytes.Equal(model.Entry.Data, got.Entry.Data) {
		s.Fatalf("%v: events differ (-model +store):\n%s", op, diffEvents(model.Entry, got.Entry))
	}
	for _, cell := range got.Cells {
		states, _, err := s.model.Cells(context.Background(), []stock.Cell{cell.Cell})
		if err != nil {
			s.Fatal(err)
		}
		if states[0] != cell {
			s.Fatalf("%v: cells differ (-model +store):\n%s", op, cmp.Diff(states[0], cell))
		}
	}
	return got.Outcomes
}

// diff is cmp.Diff, which is slow, only where there is a difference.
func diff[T comparable](want, got []T) string {
	if slices.Equal(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

func diffEvents(model, store stock.Entry) string {
	m, errModel := event.Decode(model.Data)
	s, errStore := event.Decode(store.Data)
	return fmt.Sprintf("%s\nerrors: %v, %v", cmp.Diff(m, s), errModel, errStore)
}

// take reserves or deducts, with few users and keys, so that keys repeat and limits are reached.
func (s *simulation) take(rt *rapid.T, op stock.Op) {
	var requests []stock.Request
	for range rapid.IntRange(1, 8).Draw(rt, "requests") {
		cell := rapid.SampledFrom(s.cells).Draw(rt, "cell")
		user := rapid.Int64Range(1, 3).Draw(rt, "user")
		key := rapid.StringMatching("[a-e]").Draw(rt, "key")
		r := s.harness.take(op, cell, user, key, rapid.Int64Range(1, 3).Draw(rt, "quantity"))
		r.Fence = s.fence(rt, cell)
		requests = append(requests, r)
	}
	for _, o := range s.run(op, requests...) {
		if o.Verdict == stock.VerdictOK {
			s.granted = append(s.granted, o.Reservation)
		}
	}
	s.asked = append(s.asked, requests...)
}

// fence returns a position that an edge may have seen of a cell: none, or the present one. Rarely it is beyond that,
// which shuts the cell for the rest of the run.
func (s *simulation) fence(rt *rapid.T, cell stock.Cell) stock.Position {
	position := s.modelState(cell).Position
	switch n := rapid.IntRange(0, 999).Draw(rt, "fence"); { // rapid prefers small numbers
	case n == 998:
		return stock.Position{Epoch: position.Epoch, Seq: position.Seq + 1000}
	case n == 999:
		return stock.Position{Epoch: position.Epoch + 1, Seq: 1}
	case n > 100:
		return position
	}
	return stock.Position{}
}

func (s *simulation) modelState(cell stock.Cell) stock.CellState {
	states, _, err := s.model.Cells(context.Background(), []stock.Cell{cell})
	if err != nil {
		s.Fatal(err)
	}
	return states[0]
}

// settle confirms or releases earlier requests, granted or refused.
func (s *simulation) settle(rt *rapid.T, op stock.Op) {
	if len(s.granted) == 0 {
		rt.Skip("nothing to settle")
	}
	var requests []stock.Request
	for range rapid.IntRange(1, 6).Draw(rt, "requests") {
		r := rapid.SampledFrom(s.granted).Draw(rt, "reservation")
		if rapid.IntRange(0, 9).Draw(rt, "any") == 9 {
			asked := rapid.SampledFrom(s.asked).Draw(rt, "request")
			r = stock.Reservation{ID: asked.ID, Cell: asked.Cell, User: asked.User}
		}
		user := rapid.SampledFrom([]int64{0, r.User, r.User, 3}).Draw(rt, "user")
		requests = append(requests, stock.Request{ID: r.ID, Cell: r.Cell, User: user})
	}
	s.run(op, requests...)
}

// extend asks for later deadlines of earlier requests, granted or refused.
func (s *simulation) extend(rt *rapid.T) {
	if len(s.granted) == 0 {
		rt.Skip("nothing to extend")
	}
	var requests []stock.Request
	for range rapid.IntRange(1, 6).Draw(rt, "requests") {
		r := rapid.SampledFrom(s.granted).Draw(rt, "reservation")
		by := rapid.SampledFrom([]int64{1, 2, 5, 20, hold.Milliseconds(), 3 * stock.HoldMax.Milliseconds()}).Draw(rt, "by")
		user := rapid.SampledFrom([]int64{0, 0, r.User, 3}).Draw(rt, "user")
		requests = append(requests, stock.Request{ID: r.ID, User: user, DeadlineMS: max(r.DeadlineMS, s.clockMS) + by})
	}
	s.run(stock.OpExtend, requests...)
}

// register registers a user for the sale of a cell, whether that demands it or not.
func (s *simulation) register(rt *rapid.T) {
	s.registerIn(rapid.SampledFrom(s.cells[1:]).Draw(rt, "cell"), rapid.Int64Range(1, 3).Draw(rt, "user"))
}

// vouchFor has both stores know all users of the sale of a cell, unless they have too few.
func (s *simulation) vouchFor(rt *rapid.T) {
	cell, users := rapid.SampledFrom(s.cells[1:]).Draw(rt, "cell"), rapid.Int64Range(0, 3).Draw(rt, "users")
	got, want := s.Vouch(s.test, cell, users), s.model.Vouch(cell.Partition(s.store.Partitions()), cell.Pool, users)
	if got != want {
		s.Fatalf("%d users, in the model %d", got, want)
	}
}

// loseUser takes a registration away, rarely.
func (s *simulation) loseUser(rt *rapid.T) {
	cell, user := rapid.SampledFrom(s.cells[1:]).Draw(rt, "cell"), rapid.Int64Range(1, 3).Draw(rt, "user")
	if rapid.IntRange(0, 3).Draw(rt, "chance") > 0 {
		rt.Skip("not this time")
	}
	s.LoseUser(s.test, cell, user)
	s.model.LoseUser(cell.Partition(s.store.Partitions()), cell.Pool, user)
}

// registerIn registers users in both stores.
func (s *simulation) registerIn(cell stock.Cell, users ...int64) {
	got := s.harness.register(cell, users...)
	want, err := s.model.Register(context.Background(), cell.Partition(s.store.Partitions()), cell.Pool, users)
	if err != nil || got != want {
		s.Fatalf("%d users are new, in the model %d, error %v", got, want, err)
	}
}

// giveBack returns units, whether the user has bought them or not.
func (s *simulation) giveBack(rt *rapid.T) {
	var requests []stock.Request
	for range rapid.IntRange(1, 4).Draw(rt, "requests") {
		cell := rapid.SampledFrom(s.cells).Draw(rt, "cell")
		user := rapid.Int64Range(1, 3).Draw(rt, "user")
		key := rapid.StringMatching("[a-j]").Draw(rt, "key")
		requests = append(requests, s.comesBack(cell, user, key, rapid.Int64Range(1, 3).Draw(rt, "quantity")))
	}
	s.run(stock.OpReturn, requests...)
	s.asked = append(s.asked, requests...)
}

func (s *simulation) adjust(rt *rapid.T) {
	var requests []stock.Request
	for range rapid.IntRange(1, 3).Draw(rt, "requests") {
		if len(s.adjusted) > 0 && rapid.IntRange(0, 3).Draw(rt, "again") == 3 {
			requests = append(requests, rapid.SampledFrom(s.adjusted).Draw(rt, "request"))
			continue
		}
		cell := rapid.SampledFrom(s.cells).Draw(rt, "cell")
		key := rapid.StringMatching("[a-z]").Draw(rt, "key")
		requests = append(requests, s.adjustment(cell, key, s.drawAdjustment(rt)))
	}
	s.run(stock.OpAdjust, requests...)
	s.adjusted = append(s.adjusted, requests...)
}

func (s *simulation) drawAdjustment(rt *rapid.T) stock.Adjustment {
	a := stock.Adjustment{
		Kind:   rapid.SampledFrom([]stock.AdjustKind{stock.AdjustPlain, stock.AdjustTransferOut, stock.AdjustTransferIn}).Draw(rt, "kind"),
		Create: rapid.IntRange(0, 4).Draw(rt, "create") == 0,
		Delta:  rapid.Int64Range(-3, 6).Draw(rt, "delta"),
		Fields: stock.Fields(rapid.IntRange(0, 255).Draw(rt, "fields") & rapid.IntRange(0, 255).Draw(rt, "of them")),
		Settings: stock.Settings{
			Limit:          rapid.Int64Range(0, 4).Draw(rt, "limit"),
			Hold:           rapid.SampledFrom([]time.Duration{time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, hold}).Draw(rt, "hold"),
			Ack:            stock.Ack(rapid.IntRange(0, 3).Draw(rt, "ack")),
			ShopperDeducts: rapid.Bool().Draw(rt, "shopper deducts"),
			RegisteredOnly: rapid.IntRange(0, 3).Draw(rt, "registered only") == 0,
			ExtendMax:      rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, stock.HoldMax}).Draw(rt, "bound of extensions"),
			Frozen:         rapid.IntRange(0, 4).Draw(rt, "frozen") == 0,
		},
		Reason: rapid.StringMatching("[a-z]{1,20}").Draw(rt, "reason"),
	}
	if a.Create {
		a.Delta = max(a.Delta, 0)
	}
	// The window opens or closes a little before or after now, or far away.
	a.Settings.OpensAtMS = max(0, s.clockMS+rapid.SampledFrom([]int64{-hold.Milliseconds(), -s.clockMS, 0, 3}).Draw(rt, "opens"))
	a.Settings.ClosesAtMS = max(0, s.clockMS+rapid.SampledFrom([]int64{hold.Milliseconds(), -s.clockMS, 3}).Draw(rt, "closes"))
	return a
}

// expire sweeps both stores, the model at the time at which the real one looked last.
func (s *simulation) expire(*rapid.T) {
	partition := s.cells[0].Partition(s.store.Partitions())
	got, timeMS := s.sweep(s.store, partition)
	s.clockMS = timeMS
	want, _ := s.sweep(s.model, partition)
	if diff := cmp.Diff(want, got); diff != "" {
		s.Fatalf("expired (-model +store):\n%s", diff)
	}
}

// sweep expires all that is due and returns the events of the simulation's cells and the time of the last
// look. The order of the events counts within a cell only.
func (s *simulation) sweep(store stock.Store, partition int) (events map[stock.Cell][]event.Event, timeMS int64) {
	events = map[stock.Cell][]event.Event{}
	for more := true; more; {
		sweep, err := store.Expire(context.Background(), partition, 100)
		if err != nil {
			s.Fatal(err)
		}
		for _, entry := range sweep.Entries {
			batch, err := event.Decode(entry.Data)
			if err != nil {
				s.Fatal(err)
			}
			for _, e := range batch.Events {
				if slices.Contains(s.cells, e.Cell) {
					events[e.Cell] = append(events[e.Cell], e)
				}
			}
		}
		more, timeMS = sweep.More, sweep.TimeMS
	}
	return events, timeMS
}

// forget lets the retention of all that is finished end, and forgets it.
func (s *simulation) forget(*rapid.T) {
	s.waitUntil(s.now() + simRetention.Milliseconds() + 1)
	s.clockMS = s.now()
	s.harness.forget(s.cells[0])
	for more := true; more; {
		n, err := s.model.Forget(context.Background(), s.cells[0].Partition(s.store.Partitions()), 100)
		if err != nil {
			s.Fatal(err)
		}
		more = n > 0
	}
}

// pass lets a little time go by.
func (s *simulation) pass(rt *rapid.T) {
	s.waitUntil(s.now() + rapid.Int64Range(1, 4).Draw(rt, "ms"))
	s.clockMS = s.now()
}

// corrupt breaks the counters of a cell, rarely, and has the stores find it at once, unless they add up.
func (s *simulation) corrupt(rt *rapid.T) {
	cell := rapid.SampledFrom(s.cells).Draw(rt, "cell")
	before := s.modelState(cell)
	if rapid.IntRange(0, 9).Draw(rt, "chance") > 0 || !before.Loaded {
		rt.Skip("not this time")
	}
	avail, held := int64(1), int64(0)
	switch kind := rapid.IntRange(0, 2).Draw(rt, "kind"); {
	case kind == 1 && before.Avail > 0:
		avail = -1
	case kind == 2 && before.Held > 0:
		held = -1
	}
	s.Corrupt(s.test, cell, avail, held)
	s.model.Edit(cell, func(state *stock.CellState) { state.Avail, state.Held = state.Avail+avail, state.Held+held })
	s.run(stock.OpReserve, s.harness.take(stock.OpReserve, cell, 1, "corrupt", 1))
}

// compareState compares all cells and records.
func (s *simulation) compareState(*rapid.T) {
	want, _, err := s.model.Cells(context.Background(), s.cells)
	if err != nil {
		s.Fatal(err)
	}
	got, _, err := s.store.Cells(context.Background(), s.cells)
	if err != nil {
		s.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		s.Fatalf("cells differ (-model +store):\n%s", d)
	}
	var ids []stock.ReservationID
	for _, r := range s.asked {
		ids = append(ids, r.ID)
	}
	s.compareBaskets()
	if len(ids) == 0 {
		return
	}
	wantRecords, _, err := s.model.Reservations(context.Background(), ids)
	if err != nil {
		s.Fatal(err)
	}
	gotRecords, _, err := s.store.Reservations(context.Background(), ids)
	if err != nil {
		s.Fatal(err)
	}
	if d := diff(wantRecords, gotRecords); d != "" {
		s.Fatalf("records differ (-model +store):\n%s", d)
	}
}
