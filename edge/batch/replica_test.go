package batch

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// replicas gives the store a replica, which has the effects in time if has is true, and lists whether
// each call asked for it.
func (st *stage) replicas(has *bool, asked *[]bool) {
	st.store.HasReplica = true
	st.store.after = func(vectors []*stock.Vector) {
		for _, v := range vectors {
			*asked = append(*asked, v.Replicate)
			v.Replicated = v.Replicate && *has
		}
	}
}

// foundOut is a way to find out, by a first call, that a cell has the level replica. A second call repeats the requests.
type foundOut struct {
	name       string
	there, has bool  // a replica is there, and has the effects in time
	second     error // of the second call
	want       string
	held       int64
}

// stage returns a stage that it happens on, and a list of whether each call asked for a replica.
func (test *foundOut) stage(t *testing.T) (st *stage, asked *[]bool) {
	t.Helper()
	st, asked = newStage(t, Config{}), new([]bool)
	st.replicas(&test.has, asked)
	st.store.HasReplica = test.there
	st.store.before = func(call int, vectors []*stock.Vector) {
		if call == 1 {
			vectors[0].Err = test.second
		}
	}
	return st, asked
}

func TestLevelReplicaByDefault(t *testing.T) {
	t.Parallel()
	st := newStage(t, Config{Ack: stock.AckReplica})
	has, asked := true, []bool(nil)
	st.replicas(&has, &asked)
	cell, quick := sku(0), sku(1)
	st.load(cell, 10, stock.Settings{})
	st.load(quick, 10, stock.Settings{Ack: stock.AckRedis})
	if got := st.reserve(take(cell, 1, "k")); got.kind() != "ok" {
		t.Error(got)
	}
	has = false
	if got := st.reserve(take(cell, 2, "k")); got.kind() != errorOf(stock.ErrUnknown) {
		t.Errorf("without a replica: %v, want unknown", got)
	}
	if got := st.reserve(take(cell, 2, "k")); got.kind() != errorOf(stock.ErrUnknown) {
		t.Errorf("its replay without a replica: %v, want unknown", got)
	}
	has = true
	if got := st.reserve(take(cell, 2, "k")); got.kind() != "replayed" {
		t.Errorf("its replay with a replica: %v, want replayed", got)
	}
	has = false
	for range 2 {
		if got := st.reserve(take(quick, 1, "k")); got.err != nil {
			t.Errorf("a cell of the level redis: %v", got)
		}
	}
	if got := st.reserve(take(cell, 1, "other")); got.kind() != errorOf(stock.ErrUnknown) {
		t.Error(got)
	}
	if diff := cmp.Diff([]bool{true, true, true, true, true, false, true}, asked); diff != "" {
		t.Error(diff)
	}
}

// The level of a cell that the edge meets for the first time shows only in the answer: nothing is taken
// before a replica is waited for.
func TestLevelReplicaFoundOutByTaking(t *testing.T) {
	t.Parallel()
	cell := sku(0)
	for _, test := range []foundOut{
		{"a replica has it", true, true, nil, "ok", 1},
		{"no replica has it in time", true, false, nil, errorOf(stock.ErrUnknown), 1},
		{"no replica is there", false, false, nil, "replica_missing", 0},
		{"the server shut in between", true, true, stock.ErrShut, errorOf(stock.ErrShut), 0},
		{"the second call is not executed", true, true, stock.ErrNotApplied, errorOf(stock.ErrNotApplied), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st, asked := test.stage(t)
			st.load(cell, 10, stock.Settings{Ack: stock.AckReplica})
			if got := st.reserve(take(cell, 1, "k")); got.kind() != test.want {
				t.Errorf("answer is %v, want %v", got, test.want)
			}
			if diff := cmp.Diff([]bool{false, true}, *asked); diff != "" {
				t.Error(diff)
			}
			if got := st.cell(cell).Held; got != test.held {
				t.Errorf("%d units held, want %d", got, test.held)
			}
			*asked = nil
			_ = st.reserve(take(cell, 2, "k"))
			if diff := cmp.Diff([]bool{true}, *asked); diff != "" {
				t.Errorf("the next request of the cell: %s", diff)
			}
		})
	}
}

// A confirm need not name its cell, whose level shows only after it is done: it is proven by a replay.
func TestLevelReplicaFoundOutBySettling(t *testing.T) {
	t.Parallel()
	cell := sku(0)
	for _, test := range []struct {
		name    string
		has     bool
		second  error         // of the confirm's second call
		verdict stock.Verdict // of that call, if it is another
		want    string
	}{
		{"a replica has it", true, nil, stock.VerdictOK, "ok"},
		{"no replica has it", false, nil, stock.VerdictOK, errorOf(stock.ErrUnknown)},
		{"the server shut in between", true, stock.ErrShut, stock.VerdictOK, errorOf(stock.ErrUnknown)},
		{"the second call is not executed", true, stock.ErrNotApplied, stock.VerdictOK, errorOf(stock.ErrUnknown)},
		{"the effect is gone when it is repeated", true, nil, stock.VerdictFenced, errorOf(stock.ErrUnknown)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, Config{})
			has, asked := true, []bool(nil)
			st.replicas(&has, &asked)
			st.load(cell, 10, stock.Settings{Ack: stock.AckReplica})
			r := take(cell, 1, "k")
			if got := st.reserve(r); got.kind() != "ok" {
				t.Fatal(got)
			}
			has, asked = test.has, nil
			second := len(st.store.sizes()) + 1
			st.store.before = func(call int, vectors []*stock.Vector) {
				if call == second {
					vectors[0].Err = test.second
				}
			}
			replicated := st.store.after
			st.store.after = func(vectors []*stock.Vector) {
				replicated(vectors)
				if len(st.store.sizes()) == second+1 && test.verdict != stock.VerdictOK {
					vectors[0].Outcomes[0].Verdict = test.verdict
				}
			}
			got := st.do(stock.OpConfirm, &stock.Request{ID: r.ID, User: 1})
			if got.kind() != test.want {
				t.Errorf("answer is %v, want %v", got, test.want)
			}
			if errors.Is(got.err, stock.ErrShut) || errors.Is(got.err, stock.ErrNotApplied) {
				t.Errorf("%v says that nothing was executed", got)
			}
			if diff := cmp.Diff([]bool{false, true}, asked); diff != "" {
				t.Error(diff)
			}
			if got := st.cell(cell).Sold; got != 1 {
				t.Errorf("%d units sold, want 1", got)
			}
		})
	}
}

// Stock is loaded, and the level set and taken back, also before there is a replica. One that is there has to
// have it.
func TestLevelReplicaOfAnAdjustment(t *testing.T) {
	t.Parallel()
	st := newStage(t, Config{Ack: stock.AckReplica})
	has, asked := true, []bool(nil)
	st.replicas(&has, &asked)
	cell := sku(0)
	st.load(cell, 10, stock.Settings{})
	adjust := func(key string) answer {
		return st.do(stock.OpAdjust, &stock.Request{
			ID:   stock.Identity{User: 1, Route: stock.OpAdjust, Cell: cell, Key: key}.ID(partitions),
			Cell: cell, User: 1, Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Delta: 1, Reason: "test"},
		})
	}
	if got := adjust("has"); got.kind() != "ok" {
		t.Errorf("a replica has it: %v", got)
	}
	has = false
	if got := adjust("has not"); got.kind() != errorOf(stock.ErrUnknown) {
		t.Errorf("a replica is there and has not: %v, want unknown", got)
	}
	st.store.HasReplica = false
	if got := adjust("none"); got.kind() != "ok" {
		t.Errorf("no replica is there: %v, want ok", got)
	}
}

func TestReplicaHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		st.store.HasReplica = true
		safe, quick := skus(0, 2)[0], skus(0, 2)[1]
		st.load(safe, 100, stock.Settings{Ack: stock.AckReplica})
		st.load(quick, 100, stock.Settings{})
		release := make(chan struct{})
		st.store.after = func(vectors []*stock.Vector) {
			if vectors[0].Replicate {
				<-release
			}
			for _, v := range vectors {
				v.Replicated = v.Replicate
			}
		}
		waiting := st.reserveAll(safe, 1, 10)
		synctest.Wait()
		if got := st.reserveAll(quick, 1, 10).kinds()["ok"]; got != 10 {
			t.Errorf("%d answers, want 10", got)
		}
		if len(waiting.sofar()) != 0 {
			t.Errorf("acknowledged without a replica: %v", waiting.sofar())
		}
		close(release)
		if got := waiting.kinds()["ok"]; got != 10 {
			t.Errorf("%d answers after all, want 10", got)
		}
	})
}
