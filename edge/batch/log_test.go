package batch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

var errKafka = errors.New("kafka is down")

func TestLevelLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		safe, quick := skus(0, 2)[0], skus(0, 2)[1]
		st.load(safe, 100, stock.Settings{Ack: stock.AckLog})
		st.load(quick, 100, stock.Settings{})
		release := make(chan struct{})
		hold := make(chan struct{})
		st.store.before = func(call int, _ []*stock.Vector) {
			if call == 0 {
				<-hold
			}
		}
		st.pub.answer = func(stock.Entry) error {
			<-release
			return nil
		}
		first := st.reserveAll(quick, 1000, 1)
		synctest.Wait()
		waiting := st.reserveAll(safe, 1, 10)
		others := st.reserveAll(quick, 1, 10) // in the same vector
		synctest.Wait()
		close(hold)
		if others.kinds()["ok"] != 10 || first.kinds()["ok"] != 1 {
			t.Errorf("at the level redis the answers are %v", others.sofar())
		}
		synctest.Wait()
		if len(waiting.sofar()) != 0 {
			t.Errorf("acknowledged before Kafka: %v", waiting.sofar())
		}
		close(release)
		if got := waiting.kinds()["ok"]; got != 10 {
			t.Errorf("%d answers after all, want 10", got)
		}
		if diff := cmp.Diff([][]int{{1}, {20}}, st.store.sizes()); diff != "" {
			t.Error(diff)
		}
	})
}

// Kafka's answer proves an effect only if it comes soon. Later a vetting may have opened Redis without the effect.
func TestLevelLogAsksAgainAfterALateAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		takes time.Duration // until Kafka answers
		has   error
		want  string
		asked int
		shut  bool
	}{
		{"soon", stock.AckLate - time.Millisecond, stock.ErrShut, "ok", 0, false},
		{"late and there", stock.AckLate, nil, "ok", 1, false},
		{"late and lost", stock.AckLate, stock.ErrShut, errorOf(stock.ErrUnknown), 1, true},
		{"late and Redis is away", stock.AckLate, stock.ErrNotApplied, errorOf(stock.ErrUnknown), 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shut := false
				st := newStage(t, Config{})
				st.start(Config{Ack: stock.AckLog, OnShut: func() { shut = true }})
				st.load(sku(0), 10, stock.Settings{})
				asked := 0
				st.store.has = func() error {
					asked++
					return test.has
				}
				st.pub.answer = func(stock.Entry) error {
					time.Sleep(test.takes)
					return nil
				}
				if got := st.reserve(take(sku(0), 1, "k")); got.kind() != test.want || asked != test.asked || shut != test.shut {
					t.Errorf("%v, asked %d times, told that it is shut: %v", got, asked, shut)
				}
			})
		})
	}
}

// A panic of the store while somebody looks for effects ends neither the edge nor a caller's wait.
func TestPanicWhileLookingForEffects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newLogStage(t)
		st.store.has = func() error { panic("boom") }
		st.pub.answer = func(stock.Entry) error {
			time.Sleep(stock.AckLate)
			return nil
		}
		for _, who := range []string{"Kafka's late answer", "a replay"} {
			if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
				t.Errorf("%s: %v, want unknown", who, got)
			}
		}
		if n := st.meter.panics.Get(); n != 2 {
			t.Errorf("%d panics are counted, want 2", n)
		}
		st.store.has = nil
		if got := st.reserve(take(cell, 1, "k")); got.kind() != "replayed" {
			t.Errorf("later: %v", got)
		}
	})
}

// The outbox of data that were set back lacks the entry of a lost effect, as it does once the entry is in MySQL.
func TestReplayAtLevelLogAsksWhetherItIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newLogStage(t)
		if got := st.reserve(take(cell, 1, "k")); got.kind() != "ok" {
			t.Fatal(got)
		}
		if got := st.reserve(take(cell, 1, "k")); got.kind() != "replayed" {
			t.Error(got)
		}
		st.store.has = func() error { return stock.ErrShut }
		if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
			t.Errorf("the replay of what was lost: %v", got)
		}
	})
}

func TestLevelLogWithoutKafka(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		pub  *publisher
	}{
		{"refused", &publisher{answer: func(stock.Entry) error { return errKafka }}},
		{"silent", &publisher{}},
		{"buffer full", &publisher{refuse: true}},
		{"panic", &publisher{answer: nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t, Config{})
				st.pub = test.pub
				st.start(Config{Ack: stock.AckLog})
				if test.name == "panic" {
					st.Batcher.pub = panicking{}
				}
				cell := sku(0)
				st.load(cell, 10, stock.Settings{})
				if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
					t.Errorf("answer is %v, want unknown", got)
				}
				if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
					t.Errorf("the replay's answer is %v, want unknown", got)
				}
				if got := st.reserve(&stock.Request{
					ID:   stock.Identity{User: 2, Route: stock.OpReserve, Cell: cell, Key: "k"}.ID(partitions),
					Cell: cell, User: 2, Quantity: 100,
				}); got.kind() != "sold_out" {
					t.Errorf("a refusal: %v, want sold_out, which needs no Kafka", got)
				}
			})
		})
	}
}

type panicking struct{}

func (panicking) Publish(stock.Entry) bool                  { panic("boom") }
func (panicking) PublishWait(stock.Entry, func(error)) bool { panic("boom") }

// A confirm need not name its cell; its level is that of its reservation's.
func TestLevelOfAConfirm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		cell := sku(0)
		st.load(cell, 10, stock.Settings{Ack: stock.AckLog})
		r := take(cell, 1, "k")
		if got := st.reserve(r); got.kind() != "ok" {
			t.Fatal(got)
		}
		st.pub.answer = func(stock.Entry) error { return errKafka }
		confirm := &stock.Request{ID: r.ID, User: 1}
		for range 2 {
			if got := st.do(stock.OpConfirm, confirm); got.kind() != errorOf(stock.ErrUnknown) {
				t.Errorf("confirm without Kafka: %v, want unknown", got)
			}
		}
		st.pub.answer = func(stock.Entry) error { return nil }
		got := st.do(stock.OpConfirm, confirm)
		if got.kind() != "replayed" || got.Reservation.State != stock.StateConfirmed || got.Cell.Cell != cell {
			t.Errorf("confirm with Kafka: %v, %+v", got, got.Result)
		}
	})
}

func TestDrainWaitsForKafka(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newLogStage(t)
		st.pub.answer = func(stock.Entry) error {
			time.Sleep(time.Second)
			return nil
		}
		crowd := st.reserveAll(cell, 1, 5)
		synctest.Wait()
		if err := st.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := crowd.sofar()["ok"]; got != 5 {
			t.Errorf("after Drain the answers are %v", crowd.sofar())
		}
	})
}
