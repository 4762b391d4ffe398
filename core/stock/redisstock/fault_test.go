package redisstock_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestRestartedServerIsShut restarts the server: it has its data, but not the scripts, and nothing is
// executed until it has been opened again.
func TestRestartedServerIsShut(t *testing.T) {
	t.Parallel()
	server := servicetest.Redis(t)
	s := newShop(t, connect(t, server.Addr), redisstock.Config{})
	s.open()
	cell := s.load(10, stock.Settings{})
	held := s.reserve(cell, 1, 1)

	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	untilConnected(t, s)
	if shut, err := s.Shut(t.Context()); err != nil || len(shut) == 0 {
		t.Errorf("shut is %v (%v), want true", shut, err)
	}
	calls := map[string]func() error{
		"reserve": func() error { return s.do(stock.OpReserve, take(stock.OpReserve, cell, 2, 1)).Err },
		"confirm": func() error { return s.do(stock.OpConfirm, stock.Request{ID: held.ID}).Err },
		"cells":   func() error { _, _, err := s.Cells(t.Context(), []stock.Cell{cell}); return err },
		"expire":  func() error { _, err := s.Expire(t.Context(), partition(cell), 1); return err },
		"forget":  func() error { _, err := s.Forget(t.Context(), partition(cell), 1); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, stock.ErrShut) {
			t.Errorf("%s: error is %v, want shut", name, err)
		}
	}
	s.open()
	if got := s.one(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)).Verdict; got != stock.VerdictReplayed {
		t.Errorf("after opening, the same reserve is %v, want replayed", got)
	}
}

// untilConnected waits until all of the client's connections are new. A call takes one of them at
// random, and finds out that it was cut only by using it.
func untilConnected(t *testing.T, s *shop) {
	t.Helper()
	const often = 32
	until := time.Now().Add(10 * time.Second)
	for passed := 0; passed < often; passed++ {
		if _, err := s.CellCounts(t.Context()); err != nil {
			passed = 0
		}
		if time.Now().After(until) {
			t.Fatal("no connection within 10 s")
		}
	}
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	server := servicetest.Redis(t)
	s := newShop(t, connect(t, server.Addr), redisstock.Config{})
	s.open()
	cell := s.load(10, stock.Settings{})
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	// The first call may find its connection cut after it was sent. From then on there is none.
	_ = s.do(stock.OpReserve, take(stock.OpReserve, cell, 1, 1))
	var err error
	for range 10 { // the client has several connections, each to be found cut once
		err = s.do(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)).Err
		if errors.Is(err, stock.ErrNotApplied) {
			return
		}
	}
	t.Errorf("error is %v, want not executed", err)
}

func TestGivenUpBeforeItWasSent(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(10, stock.Settings{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := &stock.Vector{Op: stock.OpReserve, Partition: partition(cell), Requests: []stock.Request{take(stock.OpReserve, cell, 1, 1)}}
	s.Do(ctx, v)
	if !errors.Is(v.Err, stock.ErrNotApplied) {
		t.Errorf("error is %v, want not executed", v.Err)
	}
	if s.state(cell).Held != 0 {
		t.Error("it was executed")
	}
}

// TestTimeoutIsUnknown pauses the server: calls that were sent time out and are executed later, as
// they were, although their requests have been used for something else since.
func TestTimeoutIsUnknown(t *testing.T) {
	t.Parallel()
	server := servicetest.Redis(t)
	// A connection that a single call has to itself is closed when the call times out, and the server drops with it what
	// it has not executed. So all calls go by the queue that calls share.
	options := redis.Options([]string{server.Addr}, "", "")
	options.AlwaysPipelining = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	control := connect(t, server.Addr)
	open(t, client)
	s := newShop(t, client, redisstock.Config{})
	hasty := newStore(t, client, redisstock.Config{CallTimeout: 100 * time.Millisecond})
	cell := s.load(100, stock.Settings{})

	pause := func(args ...string) { // on a connection that is not paused itself
		t.Helper()
		if err := control.Do(t.Context(), control.B().Arbitrary("CLIENT").Args(args...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	pause("PAUSE", "30000", "WRITE")
	var sent []stock.ReservationID
	v := &stock.Vector{Op: stock.OpReserve, Partition: partition(cell)}
	for user := range int64(8) {
		v.Requests = append(v.Requests[:0], take(stock.OpReserve, cell, 1+user, 1+user))
		sent = append(sent, v.Requests[0].ID)
		if hasty.Do(t.Context(), v); !errors.Is(v.Err, stock.ErrUnknown) {
			t.Errorf("error is %v, want unknown", v.Err)
		}
		if len(v.Outcomes) != 0 || len(v.Cells) != 0 {
			t.Errorf("a failed vector has outcomes %v and cells %v", v.Outcomes, v.Cells)
		}
	}
	pause("UNPAUSE")

	found, _, err := s.Reservations(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	executed := 0
	for i, r := range found {
		if r.State == stock.StateNone {
			continue // its connection was closed before the server had read it
		}
		executed++
		if user := int64(i + 1); r.User != user || r.Quantity != user || r.Cell != cell {
			t.Errorf("reservation of user %d is %+v", user, r)
		}
	}
	// Asking again with the same ids tells the outcome of each.
	for user := range int64(8) {
		got := s.one(stock.OpReserve, take(stock.OpReserve, cell, 1+user, 1+user)).Verdict
		if !slices.Contains([]stock.Verdict{stock.VerdictOK, stock.VerdictReplayed}, got) {
			t.Errorf("asked again: %v", got)
		}
	}
	if held := s.state(cell).Held; held != 36 {
		t.Errorf("held is %d, want 1+2+...+8 = 36", held)
	}
	if executed == 0 {
		t.Error("no call was executed after its timeout: the test tests nothing")
	}
}

// TestFullMemory fills Redis to its limit. Nothing new is held, but what is held can be settled, given
// back and forgotten, events are carried on, a shut server is opened, and nothing is half done.
func TestFullMemory(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{Retention: time.Millisecond})
	cell := s.load(10, stock.Settings{Limit: 5, ExtendMax: time.Hour})
	confirmed, released, overdueOne := s.reserve(cell, 1, 1), s.reserve(cell, 2, 1), s.reserve(cell, 3, 1)
	overdue(s, overdueOne)
	s.refuse(cell)

	s.must("CONFIG", "", "SET", "maxmemory", "1mb")
	for op, request := range map[stock.Op]stock.Request{
		stock.OpReserve: take(stock.OpReserve, cell, 4, 1),
		stock.OpDeduct:  take(stock.OpDeduct, cell, 4, 1),
		stock.OpReturn:  comesBack(cell, 4, 1),
		stock.OpExtend:  {ID: confirmed.ID, DeadlineMS: confirmed.DeadlineMS + 1},
		stock.OpAdjust:  adjustment(cell, "more", stock.Adjustment{Delta: 1}),
		stock.OpGather:  basketOf(cell, 4, 1),
	} {
		if v := s.do(op, request); !errors.Is(v.Err, stock.ErrNotApplied) {
			t.Errorf("%v: error is %v, want not executed", op, v.Err)
		} else if !errors.Is(v.Err, stock.ErrFull) {
			t.Errorf("%v: error %v does not tell that memory is full", op, v.Err)
		}
	}
	if _, err := s.Register(t.Context(), partition(cell), 7, []int64{1}); !errors.Is(err, stock.ErrFull) {
		t.Errorf("registered: error %v does not tell that memory is full", err)
	}
	if n, err := s.Vouch(t.Context(), redisstock.UserSet{Partition: partition(cell), Sale: 7}, s.Marks()[partition(cell)], 0); n != 0 || err != nil {
		t.Errorf("vouch: %d users, error %v", n, err)
	}
	for op, id := range map[stock.Op]stock.ReservationID{stock.OpConfirm: confirmed.ID, stock.OpRelease: released.ID} {
		if got := s.one(op, stock.Request{ID: id, Cell: cell}).Verdict; got != stock.VerdictOK {
			t.Errorf("%v: verdict is %v, want ok", op, got)
		}
	}
	if got := s.one(stock.OpDecide, s.refusing).Verdict; got != stock.VerdictReplayed {
		t.Errorf("decide: verdict is %v, want replayed", got)
	}
	if got := s.one(stock.OpVoid, s.refusing); got.Verdict != stock.VerdictOK || got.Basket.State != stock.BasketRefused {
		t.Errorf("void: %+v, want it given back", got)
	}
	if sweep, err := s.Expire(t.Context(), partition(cell), 10); err != nil || sweep.Expired != 1 {
		t.Errorf("expired %d (%v), want 1", sweep.Expired, err)
	}
	if n, err := s.Forget(t.Context(), partition(cell), 10); err != nil || n == 0 {
		t.Errorf("forgot %d (%v), want some", n, err)
	}
	// The calls that bring the outbox to MySQL and empty it, and those that open a restarted server.
	p := partition(cell)
	entries, err := s.RelayAfter(t.Context(), p, "", 10)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries, error %v", len(entries), err)
	}
	if has, err := s.RelayLease(t.Context(), p, "me", time.Minute); !has || err != nil {
		t.Errorf("lease %v, error %v", has, err)
	}
	if err := s.SetRelayMark(t.Context(), p, entries[0].ID); err != nil {
		t.Error(err)
	}
	if resets, err := s.ResetRelayMark(t.Context(), p); resets != 1 || err != nil {
		t.Errorf("%d resets, error %v", resets, err)
	}
	if n, err := s.OutboxDelete(t.Context(), p, []string{entries[0].ID}); n != 1 || err != nil {
		t.Errorf("deleted %d entries, error %v", n, err)
	}
	s.must("SCRIPT", "", "FLUSH")
	s.open()
	state := s.state(cell)
	if want := (stock.Balances{Avail: 9, Held: 0, Sold: 1, Total: 10}); state.Balances != want {
		t.Errorf("balances are %+v, want %+v", state.Balances, want)
	}
}
