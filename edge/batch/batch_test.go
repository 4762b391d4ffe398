package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

func TestIdleRequestIsSentAtOnce(t *testing.T) {
	t.Parallel()
	st := newStage(t, Config{})
	cell := sku(0)
	st.load(cell, 1, stock.Settings{Limit: 5})
	got := st.reserve(take(cell, 7, "a"))
	if got.kind() != "ok" {
		t.Fatal(got)
	}
	if got.Reservation.State != stock.StateHeld || got.Cell.Cell != cell || got.Cell.Avail != 0 ||
		got.Cell.Limit != 5 || got.TimeMS == 0 {
		t.Errorf("result is %+v", got.Result)
	}
	if got := st.reserve(take(cell, 8, "a")); got.kind() != "sold_out" || got.Cell.Cell != cell {
		t.Errorf("with no unit left: %v, %+v", got, got.Cell)
	}
	if diff := cmp.Diff([][]int{{1}, {1}}, st.store.sizes()); diff != "" {
		t.Error(diff)
	}
}

func TestRequestsGatherWhileACallIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{InFlightMax: 1})
		cell, other := sku(0), sku(1)
		st.load(cell, 1000, stock.Settings{})
		st.load(other, 1000, stock.Settings{})
		release := st.stall()

		first := st.reserveAll(cell, 1, 1)
		synctest.Wait()
		crowd := st.reserveAll(cell, 100, 300)
		others := st.reserveAll(other, 100, 5)
		synctest.Wait()
		if got := st.Queued(); got != 305 {
			t.Errorf("%d wait, want 305", got)
		}
		release()
		if first.kinds()["ok"] != 1 || crowd.kinds()["ok"] != 300 || others.kinds()["ok"] != 5 {
			t.Errorf("answers are %v, %v, %v", first.sofar(), crowd.sofar(), others.sofar())
		}
		calls := st.store.sizes()
		for _, sizes := range calls {
			slices.Sort(sizes)
		}
		if diff := cmp.Diff([][]int{{1}, {5, 44, 128, 128}}, calls); diff != "" {
			t.Error(diff)
		}
	})
}

// A further call is in flight only for a full vector, and then without what is not full.
func TestFurtherCallsAreForFullVectors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{InFlightMax: 3})
		cell, other := sku(0), sku(1)
		st.load(cell, 10_000, stock.Settings{})
		st.load(other, 10_000, stock.Settings{})
		release := st.stall()
		var crowds []*crowd
		send := func(cell stock.Cell, user, n int64) {
			crowds = append(crowds, st.reserveAll(cell, user, n))
			synctest.Wait()
		}
		send(cell, 1, 1)
		send(other, 1, 100)
		send(cell, 1000, 127)
		if got := len(st.store.sizes()); got != 1 {
			t.Errorf("%d calls in flight without a full vector, want 1", got)
		}
		send(cell, 2000, 1)   // fills one
		send(cell, 3000, 256) // fills two more
		want := [][]int{{1}, {128}, {128}}
		if diff := cmp.Diff(want, st.store.sizes()); diff != "" {
			t.Error(diff)
		}
		release()
		for _, c := range crowds {
			if kinds := c.kinds(); len(kinds) != 1 || kinds["ok"] == 0 {
				t.Errorf("answers are %v", kinds)
			}
		}
	})
}

// A call may take long: what it brings is known as of its beginning.
func TestStatesAreAsOldAsTheirCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		cell := sku(0)
		st.load(cell, 1, stock.Settings{})
		st.store.after = func([]*stock.Vector) { time.Sleep(time.Second) }
		sent := time.Now()
		if got := st.reserve(take(cell, 1, "k")); got.kind() != "ok" {
			t.Fatal(got)
		}
		if _, asOf, ok := st.cells.Peek(cell); !ok || !asOf.Equal(sent) {
			t.Errorf("known as of %v after the call was sent", asOf.Sub(sent))
		}
	})
}

func TestFullQueueRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{QueueMax: 10})
		cell := sku(0)
		st.load(cell, 1000, stock.Settings{})
		release := st.stall()
		first := st.reserveAll(cell, 1, 1)
		synctest.Wait()
		crowd := st.reserveAll(cell, 100, 25)
		synctest.Wait()
		if got := crowd.sofar()[errorOf(ErrFull)]; got != 16 {
			t.Errorf("%d refused at once, want 16", got)
		}
		release()
		if got := crowd.kinds()["ok"]; got != 9 || first.kinds()["ok"] != 1 {
			t.Errorf("%d accepted, want 9", got)
		}
		if got := st.cell(cell).Held; got != 10 {
			t.Errorf("%d units held, want 10: a refused request had an effect", got)
		}
	})
}

func TestNodesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		st.store.node = func(p int) (string, error) { return fmt.Sprint("node ", p%2), nil }
		st.start(Config{})
		slow, fast := sku(0), sku(1)
		st.load(slow, 10, stock.Settings{})
		st.load(fast, 10, stock.Settings{})
		release := make(chan struct{})
		st.store.before = func(_ int, vectors []*stock.Vector) {
			if vectors[0].Partition == 0 {
				<-release
			}
		}
		waiting := st.reserveAll(slow, 1, 5)
		synctest.Wait()
		if got := st.reserveAll(fast, 1, 5).kinds()["ok"]; got != 5 {
			t.Errorf("%d answers of the other node, want 5", got)
		}
		if len(waiting.sofar()) != 0 {
			t.Error("the blocked node answered")
		}
		close(release)
		if got := waiting.kinds()["ok"]; got != 5 {
			t.Errorf("%d answers after all, want 5", got)
		}
	})
}

// Partitions move to where NodeOf says, within a second, and stay where they are while it fails.
func TestPartitionsFollowTheirNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		moved, failing := false, false
		st.store.node = func(p int) (string, error) {
			if failing {
				return "", errors.New("cluster is down")
			}
			return fmt.Sprint("node ", moved && p == 0), nil
		}
		st.start(Config{Ack: stock.AckLog})
		cell := sku(0)
		st.load(cell, 10, stock.Settings{})
		proved := func() int {
			st.pub.published = nil
			if got := st.reserve(take(cell, 1, "first")); got.err != nil {
				t.Fatal(got)
			}
			return st.pub.count()
		}
		nodes := func() int {
			if got := st.reserve(take(cell, 1, fmt.Sprint(time.Now()))); got.kind() != "ok" {
				t.Fatal(got)
			}
			synctest.Wait()
			distinct := map[*node]bool{}
			for p := range st.routes {
				distinct[st.routes[p].Load()] = true
			}
			return len(distinct)
		}
		time.Sleep(2 * time.Second)
		if got := nodes(); got != 1 {
			t.Fatalf("%d nodes, want 1", got)
		}
		_, _ = proved(), proved() // made, and replayed
		if got := proved(); got != 0 {
			t.Errorf("%d entries published again that Kafka has", got)
		}
		moved = true
		time.Sleep(2 * time.Second)
		if got := nodes(); got != 2 {
			t.Errorf("%d nodes after a partition moved, want 2", got)
		}
		if got := proved(); got != 4 { // its entries may have other ids there
			t.Errorf("%d entries published again after a partition moved, want all 4", got)
		}
		moved, failing = false, true
		time.Sleep(2 * time.Second)
		if got := nodes(); got != 2 {
			t.Errorf("%d nodes while nobody knows, want 2 as before", got)
		}
	})
}

func TestTroubleOfTheStoreReachesEveryRequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		before func(vectors []*stock.Vector)
		after  func(vectors []*stock.Vector)
		want   error
		shut   int
	}{
		{"panic", func([]*stock.Vector) { panic("boom") }, nil, stock.ErrUnknown, 0},
		{"shut", fail(stock.ErrShut), nil, stock.ErrShut, 1},
		{"not applied", fail(stock.ErrNotApplied), nil, stock.ErrNotApplied, 0},
		{"unknown", fail(stock.ErrUnknown), nil, stock.ErrUnknown, 0},
		{"outcomes missing", nil, func(vectors []*stock.Vector) {
			vectors[0].Outcomes = vectors[0].Outcomes[:1]
		}, stock.ErrProtocol, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shut := 0
				st := newStage(t, Config{OnShut: func() { shut++ }})
				cell := sku(0)
				st.load(cell, 100, stock.Settings{})
				release := make(chan struct{})
				st.store.before = func(call int, vectors []*stock.Vector) {
					if call == 0 {
						<-release
					}
					if call == 1 && test.before != nil {
						test.before(vectors)
					}
				}
				st.store.after = func(vectors []*stock.Vector) {
					if len(vectors[0].Requests) > 1 && test.after != nil {
						test.after(vectors)
					}
				}
				first := st.reserveAll(cell, 1, 1)
				synctest.Wait()
				crowd := st.reserveAll(cell, 100, 20)
				synctest.Wait()
				close(release)
				if kinds := crowd.kinds(); kinds[errorOf(test.want)] != 20 {
					t.Errorf("answers are %v, want 20 times %v", kinds, test.want)
				}
				if first.kinds()["ok"] != 1 {
					t.Errorf("the request before is answered %v", first.sofar())
				}
				if shut != test.shut {
					t.Errorf("the hook was called %d times, want %d", shut, test.shut)
				}
				if got := st.reserve(take(cell, 1000, "later")); got.kind() != "ok" {
					t.Errorf("afterwards: %v", got)
				}
			})
		})
	}
}

func fail(kind error) func([]*stock.Vector) {
	return func(vectors []*stock.Vector) {
		for _, v := range vectors {
			v.Err = fmt.Errorf("call: %w", kind)
		}
	}
}

// A request that no store would take is refused before it spoils the vector of others.
func TestMalformedRequestFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		cell := sku(0)
		st.load(cell, 100, stock.Settings{})
		release := st.stall()
		first := st.reserveAll(cell, 1, 1)
		synctest.Wait()
		crowd := st.reserveAll(cell, 100, 20)

		none := take(cell, 7, "k")
		none.Quantity = 0
		elsewhere := take(cell, 7, "k")
		elsewhere.ID[1] = 3
		nowhere := take(cell, 7, "k")
		nowhere.ID[0] = 200
		for _, r := range []*stock.Request{none, elsewhere, nowhere} {
			if got := st.reserve(r); got.kind() != errorOf(stock.ErrProtocol) {
				t.Errorf("%+v: %v, want a protocol error", r, got)
			}
		}
		if got := st.do(stock.Op(4), take(cell, 7, "k")); got.kind() != errorOf(stock.ErrProtocol) {
			t.Errorf("unknown operation: %v, want a protocol error", got)
		}
		release()
		if crowd.kinds()["ok"] != 20 || first.kinds()["ok"] != 1 {
			t.Errorf("the others are answered %v", crowd.sofar())
		}
	})
}

func TestSameRequestTwiceInOneVectorIsAReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		cell := sku(0)
		st.load(cell, 100, stock.Settings{})
		release := st.stall()
		first := st.reserveAll(cell, 1, 1)
		synctest.Wait()
		answers := make(chan answer, 100)
		for range 100 {
			go func() { answers <- st.reserve(take(cell, 5, "same")) }()
		}
		synctest.Wait()
		release()
		kinds := map[string]int{}
		for range 100 {
			a := <-answers
			kinds[a.kind()]++
			if a.Reservation.State != stock.StateHeld || a.Reservation.User != 5 {
				t.Errorf("record is %+v", a.Reservation)
			}
		}
		if diff := cmp.Diff(map[string]int{"ok": 1, "replayed": 99}, kinds); diff != "" {
			t.Error(diff)
		}
		if first.kinds()["ok"] != 1 || st.cell(cell).Held != 2 {
			t.Errorf("%d units held, want 2", st.cell(cell).Held)
		}
	})
}

func TestFencesAreSentAndNeverGoBack(t *testing.T) {
	t.Parallel()
	st := newStage(t, Config{})
	cell := sku(0)
	st.load(cell, 100, stock.Settings{})
	var sent []stock.Position
	st.store.before = func(_ int, vectors []*stock.Vector) {
		sent = append(sent, vectors[0].Requests[0].Fence)
	}
	for user := range int64(3) {
		if got := st.reserve(take(cell, 1+user, "k")); got.kind() != "ok" {
			t.Fatal(got)
		}
	}
	st.store.Edit(cell, func(s *stock.CellState) { // Redis loses its last second
		s.Seq = 2
		s.Avail, s.Held = 99, 1
	})
	if got := st.reserve(take(cell, 10, "k")); got.kind() != "fenced" {
		t.Errorf("after Redis lost acknowledged effects: %v, want fenced", got)
	}
	_ = st.reserve(take(cell, 11, "k"))
	want := []stock.Position{{}, {Epoch: 1, Seq: 2}, {Epoch: 1, Seq: 3}, {Epoch: 1, Seq: 4}, {Epoch: 1, Seq: 4}}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Error(diff)
	}
}

func TestDrainAnswersEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		cell := sku(0)
		st.load(cell, 100, stock.Settings{})
		release := st.stall()
		first := st.reserveAll(cell, 1, 1)
		synctest.Wait()
		crowd := st.reserveAll(cell, 100, 50)
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := st.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain = %v while a call is in flight", err)
		}
		if got := st.reserve(take(cell, 1000, "late")); got.kind() != errorOf(ErrDraining) {
			t.Errorf("a new request is answered %v, want draining", got)
		}
		release()
		if err := st.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if first.sofar()["ok"] != 1 || crowd.sofar()["ok"] != 50 {
			t.Errorf("after Drain the answers are %v and %v", first.sofar(), crowd.sofar())
		}
		if got := st.pub.count(); got != 2 {
			t.Errorf("%d entries published, want 2", got)
		}
	})
}

// A call takes a bounded number of vectors, but all that wait once a call has failed: nobody waits for
// one timeout after another.
func TestCallsAreBoundedWhileTheServerAnswers(t *testing.T) {
	t.Parallel()
	ones := func(n int) []int { return slices.Repeat([]int{1}, n) }
	for _, test := range []struct {
		name string
		fail bool
		want [][]int
	}{
		{"answers", false, [][]int{{1}, ones(callVectors), ones(callVectors), ones(4)}},
		{"fails", true, [][]int{{1}, ones(2*callVectors + 4)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t, Config{InFlightMax: 1})
				cell := sku(0)
				st.load(cell, 100, stock.Settings{})
				release := make(chan struct{})
				st.store.before = func(call int, vectors []*stock.Vector) {
					<-release
					if call == 0 && test.fail {
						fail(stock.ErrUnknown)(vectors)
					}
				}
				first := st.reserveAll(cell, 1, 1)
				synctest.Wait()
				answers := make(chan answer, 2*callVectors+4)
				for i := range cap(answers) { // adjustments, each a vector of its own
					go func() {
						answers <- st.do(stock.OpAdjust, &stock.Request{
							ID:   stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: fmt.Sprint(i)}.ID(partitions),
							Cell: cell,
							Adjustment: &stock.Adjustment{
								Kind: stock.AdjustPlain, Delta: 1, Reason: "test",
							},
						})
					}()
				}
				synctest.Wait()
				close(release)
				for range cap(answers) {
					if a := <-answers; a.kind() != "ok" {
						t.Error(a)
					}
				}
				first.wg.Wait()
				if diff := cmp.Diff(test.want, st.store.sizes()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
