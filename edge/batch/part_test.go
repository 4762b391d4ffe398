package batch

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// basketOf is a basket of a unit of each cell, all in one partition, and the requests of its only part.
func basketOf(t testing.TB, key string, cells ...stock.Cell) (*stock.Basket, []stock.Request) {
	t.Helper()
	var items []stock.Line
	for _, cell := range cells {
		items = append(items, stock.Line{Cell: cell, Quantity: 1})
	}
	b, err := stock.NewBasket(1, key, items, partitions)
	if err != nil {
		t.Fatal(err)
	}
	part, requests := &stock.Part{Home: &b}, make([]stock.Request, len(b.Lines))
	for i, l := range b.Lines {
		requests[i] = stock.Request{ID: l.ID, Cell: l.Cell, User: b.User, Quantity: l.Quantity, Fingerprint: b.Fingerprint, Part: part}
	}
	return &b, requests
}

// gather takes the lines, and returns the kind of the answer to each, or the error's.
func (st *stage) gather(requests []stock.Request) string {
	results, err := st.DoPart(stock.OpGather, requests)
	if err != nil {
		return answer{err: err}.kind()
	}
	var kinds []string
	for i := range results {
		kinds = append(kinds, answer{Result: results[i]}.kind())
	}
	return strings.Join(kinds, " ")
}

// TestPartWaitsForItsSafestLine has a basket of lines of the levels redis and log: Kafka's answer decides, wherever the line
// is among them.
func TestPartWaitsForItsSafestLine(t *testing.T) {
	t.Parallel()
	for safe := range 3 {
		t.Run(strconv.Itoa(safe), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, cells := newStage(t, Config{}), skus(0, 3)
				for i, cell := range cells {
					level := stock.AckRedis
					if i == safe {
						level = stock.AckLog
					}
					st.load(cell, 10, stock.Settings{Ack: level})
				}
				st.pub.answer = func(stock.Entry) error {
					time.Sleep(time.Second)
					return nil
				}
				_, requests := basketOf(t, "k", cells...)
				began := time.Now()
				if got := st.gather(requests); got != "ok ok ok" || time.Since(began) != time.Second {
					t.Errorf("%s after %v, want all lines when Kafka has them", got, time.Since(began))
				}
				others := slices.Delete(slices.Clone(cells), safe, safe+1)
				_, requests = basketOf(t, "others", others...)
				began = time.Now()
				if got := st.gather(requests); got != "ok ok" || time.Since(began) != 0 {
					t.Errorf("at the level redis: %s after %v", got, time.Since(began))
				}
			})
		})
	}
}

// TestRepeatedPartIsProvenOnce repeats a basket of many lines at the level log: one proof covers all of them.
func TestRepeatedPartIsProvenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cells := newStage(t, Config{Ack: stock.AckLog}), skus(0, 20)
		for _, cell := range cells {
			st.load(cell, 10, stock.Settings{})
		}
		read, asked := 0, 0
		st.store.read = func() error { read++; return nil }
		st.store.has = func() error { asked++; return nil }
		_, requests := basketOf(t, "k", cells...)
		for _, answer := range []string{"ok", "replayed"} {
			want := strings.TrimSuffix(strings.Repeat(answer+" ", len(cells)), " ")
			if got := st.gather(requests); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if proofs := st.meter.proofs.Get(); proofs != 1 || read != 1 || asked != 1 {
			t.Errorf("%d proofs; the outbox was read %d times, and the store asked for the effects %d times", proofs, read, asked)
		}
	})
}

// TestPartWithoutKafka: what is taken is not known to be safe, and never said to have failed. A refusal needs no Kafka.
func TestPartWithoutKafka(t *testing.T) {
	t.Parallel()
	for name, pub := range map[string]*publisher{
		"refused": {answer: func(stock.Entry) error { return errKafka }}, "silent": {}, "buffer full": {refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, cells := newStage(t, Config{}), skus(0, 3)
				st.pub = pub
				st.start(Config{Ack: stock.AckLog})
				for _, cell := range cells[:2] {
					st.load(cell, 10, stock.Settings{})
				}
				st.load(cells[2], 0, stock.Settings{})
				_, requests := basketOf(t, "k", cells[:2]...)
				for range 2 {
					if got := st.gather(requests); got != errorOf(stock.ErrUnknown) {
						t.Errorf("without Kafka: %s, want unknown", got)
					}
				}
				_, refused := basketOf(t, "refused", cells...)
				if got := st.gather(refused); got != "refused refused sold_out" {
					t.Errorf("a refusal: %s", got)
				}
				st.pub = &publisher{answer: func(stock.Entry) error { return nil }}
				st.start(Config{Ack: stock.AckLog}) // another edge
				if got := st.gather(requests); got != "replayed replayed" {
					t.Errorf("with Kafka: %s", got)
				}
				if c := st.cell(cells[0]); c.Held != 1 {
					t.Errorf("%d units held, want those of one basket", c.Held)
				}
			})
		})
	}
}

// TestPartAtLevelReplica has a basket with one line of the level replica, which the edge meets for the first time.
func TestPartAtLevelReplica(t *testing.T) {
	t.Parallel()
	for _, test := range []foundOut{
		{"a replica has it", true, true, nil, "ok ok ok", 1},
		{"no replica has it in time", true, false, nil, errorOf(stock.ErrUnknown), 1},
		{"no replica is there", false, false, nil, "refused replica_missing refused", 0},
		{"the server shut in between", true, true, stock.ErrShut, errorOf(stock.ErrShut), 0},
		{"the second call is not executed", true, true, stock.ErrNotApplied, errorOf(stock.ErrNotApplied), 0},
		{"nobody knows of the second call", true, true, stock.ErrUnknown, errorOf(stock.ErrUnknown), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st, asked := test.stage(t)
			cells := skus(0, 3)
			for i, cell := range cells {
				level := stock.AckRedis
				if i == 1 {
					level = stock.AckReplica
				}
				st.load(cell, 10, stock.Settings{Ack: level})
			}
			b, requests := basketOf(t, "k", cells...)
			if got := st.gather(requests); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if diff := cmp.Diff([]bool{false, true}, *asked); diff != "" {
				t.Error(diff)
			}
			for _, cell := range cells {
				if got := st.cell(cell).Held; got != test.held {
					t.Errorf("%d units held, want %d", got, test.held)
				}
			}
			if records, err := st.store.Baskets(t.Context(), []stock.ReservationID{b.ID()}); err != nil || (records[0].State == stock.BasketHeld) != (test.held == 1) {
				t.Errorf("the basket is %v, error %v", records, err)
			}
			test.has, st.store.HasReplica, *asked = true, true, nil
			want := "ok ok ok"
			if test.held == 1 {
				want = "replayed replayed replayed"
			}
			if got := st.gather(requests); got != want {
				t.Errorf("again, with a replica: %s, want %s", got, want)
			}
			if diff := cmp.Diff([]bool{true}, *asked); diff != "" {
				t.Errorf("the level is known now: %s", diff)
			}
		})
	}
}

// TestPartOfMixedLevels has lines of the levels replica and log. The basket has taken some of them before. Each line is proven
// by its own vector or by a replay, and none by the proof of another's.
func TestPartOfMixedLevels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cells := newStage(t, Config{}), skus(0, 2)
		has, asked := true, []bool(nil)
		st.replicas(&has, &asked)
		st.load(cells[0], 10, stock.Settings{Ack: stock.AckReplica})
		st.load(cells[1], 10, stock.Settings{Ack: stock.AckLog})
		var up atomic.Bool
		st.pub.answer = func(stock.Entry) error {
			if !up.Load() {
				return errKafka
			}
			return nil
		}
		b, requests := basketOf(t, "k", cells...)
		direct := &stock.Vector{Op: stock.OpGather, Partition: requests[0].ID.Partition(), Requests: requests, Replicate: true}
		st.store.Store.Do(t.Context(), direct) // another edge, which has ended: this one does not know the cells
		if records, err := st.store.Baskets(t.Context(), []stock.ReservationID{b.ID()}); err != nil || records[0].State != stock.BasketHeld {
			t.Fatal(records, err)
		}
		if got := st.gather(requests); got != errorOf(stock.ErrUnknown) {
			t.Errorf("a replica has it, and Kafka has not: %s, want unknown", got)
		}
		if diff := cmp.Diff([]bool{false, true}, asked); diff != "" {
			t.Error(diff)
		}
		up.Store(true)
		has = false
		if got := st.gather(requests); got != errorOf(stock.ErrUnknown) {
			t.Errorf("Kafka has it, and a replica has not: %s, want unknown", got)
		}
		has = true
		if got := st.gather(requests); got != "replayed replayed" {
			t.Errorf("both have it: %s", got)
		}
	})
}

// TestLostAnswerOfAPart loses an answer: the outcome is unknown, and the same request tells it.
func TestLostAnswerOfAPart(t *testing.T) {
	t.Parallel()
	st, cells := newStage(t, Config{}), skus(0, 3)
	for _, cell := range cells {
		st.load(cell, 10, stock.Settings{})
	}
	st.store.after = func(vectors []*stock.Vector) {
		vectors[0].Err, vectors[0].Outcomes = stock.ErrUnknown, nil
	}
	_, requests := basketOf(t, "k", cells...)
	if got := st.gather(requests); got != errorOf(stock.ErrUnknown) {
		t.Errorf("%s, want unknown", got)
	}
	st.store.after = nil
	if got := st.gather(requests); got != "replayed replayed replayed" {
		t.Error(got)
	}
}

// TestPartStaysTogether adds parts to groups with too little room, and parts that are larger than a vector may be.
func TestPartStaysTogether(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		vectorMax int
		before    []int // lines of the baskets that wait already
		lines     int
		want      [][]int // after the call that all wait for
	}{
		{"it fits", 6, []int{3}, 3, [][]int{{6}}},
		{"it does not fit", 5, []int{3}, 3, [][]int{{3, 3}}},
		{"it is larger than a vector", 2, nil, 3, [][]int{{3}}},
		{"it is larger, and others wait", 2, []int{1}, 3, [][]int{{1, 3}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, cells := newStage(t, Config{VectorMax: test.vectorMax, InFlightMax: 1}), skus(0, 3)
				for _, cell := range cells {
					st.load(cell, 100, stock.Settings{})
				}
				release := st.stall()
				first := st.reserveAll(cells[0], 1000, 1)
				synctest.Wait()
				answers := make(chan string, 9)
				for i, lines := range append(test.before, test.lines) {
					_, requests := basketOf(t, strconv.Itoa(i), cells[:lines]...)
					go func() { answers <- st.gather(requests) }()
					synctest.Wait()
				}
				release()
				first.kinds()
				for range len(test.before) + 1 {
					if got := <-answers; strings.ReplaceAll(strings.ReplaceAll(got, "ok", ""), " ", "") != "" {
						t.Error(got)
					}
				}
				if diff := cmp.Diff(append([][]int{{1}}, test.want...), st.store.sizes()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestGroupKeepsItsSize: a part that was larger than a vector does not make later vectors larger.
func TestGroupKeepsItsSize(t *testing.T) {
	t.Parallel()
	g := newGroup(2)
	g.open(stock.OpGather, 0)
	for range 5 {
		g.add(request(0))
	}
	g.open(stock.OpReserve, 0)
	if got := cap(g.vector.Requests); got != 2 {
		t.Errorf("it takes %d requests now, want 2", got)
	}
}
