package cells

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sluice/core/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

// store answers every cell with the seq of the call that read it.
type store struct {
	before func(call int) error // may block or panic

	mu    sync.Mutex
	calls [][]stock.Cell
	short bool // one state is missing
}

func (s *store) Partitions() int { return partitions }

func (s *store) Cells(_ context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	s.mu.Lock()
	s.calls = append(s.calls, cells)
	call := len(s.calls)
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(call); err != nil {
			return nil, 0, err
		}
	}
	states := make([]stock.CellState, 0, len(cells))
	for _, cell := range cells {
		if !s.short {
			states = append(states, loaded(cell, 1, uint64(call)))
		}
	}
	return states, 0, nil
}

func loaded(cell stock.Cell, epoch uint32, seq uint64) stock.CellState {
	return stock.CellState{Cell: cell, Loaded: true, Position: stock.Position{Epoch: epoch, Seq: seq}}
}

func newCache(t testing.TB, s *store, cfg Config) *Cache {
	t.Helper()
	c := New(s, cfg, metrics.NewSet())
	t.Cleanup(c.Close)
	return c
}

func sku(n int64) stock.Cell { return stock.Cell{SKU: n} }

func observe(c *Cache, asOf time.Time, state stock.CellState) {
	c.Observe(state.Cell.Partition(partitions), []stock.CellState{state}, asOf)
}

func fence(c *Cache, cell stock.Cell) stock.Position {
	return c.Fence(cell.Partition(partitions), cell)
}

func TestStateIsAsYoungAsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		c := newCache(t, s, Config{})
		read := func(maxAge time.Duration, wantSeq uint64, wantAge time.Duration) {
			t.Helper()
			state, asOf, err := c.State(t.Context(), sku(1), maxAge)
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(asOf); state.Seq != wantSeq || age != wantAge {
				t.Errorf("State(%v) has seq %d and is %v old, want %d and %v", maxAge, state.Seq, age, wantSeq, wantAge)
			}
		}
		read(time.Second, 1, 0)
		time.Sleep(time.Second)
		read(time.Second, 1, time.Second)
		time.Sleep(time.Millisecond)
		read(time.Second, 2, 0)
		time.Sleep(time.Millisecond)
		read(0, 3, 0)
		observe(c, time.Now(), loaded(sku(1), 1, 9))
		read(time.Second, 9, 0)
	})
}

func TestReadingsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &store{before: func(int) error {
			<-release
			return nil
		}}
		c := newCache(t, s, Config{})
		cells := []stock.Cell{}
		for n := int64(1); len(cells) < 10; n++ {
			if sku(n).Partition(partitions) == 0 {
				cells = append(cells, sku(n))
			}
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				cell := cells[i%len(cells)]
				state, _, err := c.State(t.Context(), cell, time.Second)
				if err != nil || state.Cell != cell || !state.Loaded {
					t.Errorf("State = %+v, %v", state, err)
				}
			})
			synctest.Wait() // the first cell is sent alone, the others gather
		}
		close(release)
		wg.Wait()
		if diff := cmp.Diff([][]stock.Cell{cells[:1], cells[1:]}, s.calls); diff != "" {
			t.Error(diff)
		}
	})
}

// A reading under way is too old for who asks for the present.
func TestReadingUnderWayIsNotThePresent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &store{before: func(int) error {
			<-release
			return nil
		}}
		c := newCache(t, s, Config{})
		var seqs [3]uint64
		var wg sync.WaitGroup
		for i, maxAge := range []time.Duration{time.Second, time.Second, 0} {
			wg.Go(func() {
				state, _, err := c.State(t.Context(), sku(1), maxAge)
				if err != nil {
					t.Error(err)
				}
				seqs[i] = state.Seq
			})
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		close(release)
		wg.Wait()
		if diff := cmp.Diff([3]uint64{1, 1, 2}, seqs); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTroubleReachesAllWhoWait(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, test := range []struct {
		name  string
		store *store
		want  error
	}{
		{"error", &store{before: func(int) error { return boom }}, boom},
		{"panic", &store{before: func(int) error { panic("boom") }}, stock.ErrProtocol},
		{"state missing", &store{short: true}, stock.ErrProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCache(t, test.store, Config{})
			var wg sync.WaitGroup
			for n := range int64(20) {
				wg.Go(func() {
					if _, _, err := c.State(t.Context(), sku(1+n%3), 0); !errors.Is(err, test.want) {
						t.Errorf("State = %v, want %v", err, test.want)
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &store{before: func(int) error {
			<-release
			return nil
		}}
		c := newCache(t, s, Config{QueueMax: 5})
		results := make(chan error, 20)
		sent := 0
		for n := int64(1); sent < 8; n++ {
			if sku(n).Partition(partitions) != 0 {
				continue
			}
			sent++
			go func() {
				_, _, err := c.State(t.Context(), sku(n), time.Second)
				results <- err
			}()
			synctest.Wait()
		}
		if got := len(results); got != 2 {
			t.Errorf("%d refused, want 2: one is being read and five wait", got)
		}
		for range len(results) {
			if err := <-results; !errors.Is(err, ErrFull) {
				t.Errorf("State = %v, want ErrFull", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := c.State(ctx, sku(1), time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("State = %v, want the end of its context", err)
		}
		close(release)
		for range 6 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestClosedCacheReadsNoMore(t *testing.T) {
	t.Parallel()
	c := newCache(t, &store{}, Config{})
	observe(c, time.Now(), loaded(sku(1), 1, 1))
	c.Close()
	if _, _, err := c.State(t.Context(), sku(1), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("State = %v, want ErrClosed", err)
	}
	if _, _, err := c.State(t.Context(), sku(1), time.Hour); err != nil {
		t.Errorf("State of what is remembered = %v", err)
	}
}

// snapshots is a local store in memory.
type snapshots map[string][]byte

func (s snapshots) Save(key string, _ uint32, data []byte, _ time.Duration) error {
	s[key] = data
	return nil
}

func (s snapshots) Load(key string, _ uint32) ([]byte, bool) {
	data, ok := s[key]
	return data, ok
}

func TestRestartIsWarm(t *testing.T) {
	t.Parallel()
	local := snapshots{}
	start := func(deployment string) *Cache {
		return newCache(t, &store{}, Config{Snapshots: local, Deployment: deployment})
	}
	c := start("a")
	for n := range int64(warmMax + 100) {
		state := loaded(sku(1+n), 3, uint64(1+n))
		state.Ack = stock.AckReplica
		observe(c, time.Now(), state)
	}
	latest := sku(warmMax + 100)
	lost := loaded(latest, 3, 7) // Redis lost its tail: the fence stays
	observe(c, time.Now(), lost)
	gone := sku(warmMax + 99)
	observe(c, time.Now(), stock.CellState{Cell: gone}) // Redis lost all of it
	c.Close()

	c = start("a")
	if got := c.Len(); got != warmMax {
		t.Errorf("%d cells remembered, want %d", got, warmMax)
	}
	if got := fence(c, latest); got.Epoch != 3 || got.Seq != warmMax+100 {
		t.Errorf("the fence is %v", got)
	}
	if got := fence(c, gone); got.Epoch != 3 || got.Seq != warmMax+99 {
		t.Errorf("the fence of a cell that is missing in Redis is %v", got)
	}
	if state, _, ok := c.Peek(sku(warmMax)); !ok || state.Ack != stock.AckReplica {
		t.Errorf("the level is %v", state.Ack)
	}
	if state, _, err := c.State(t.Context(), latest, time.Minute); err != nil || state.Seq != 1 {
		t.Errorf("State = %+v, %v; want it read anew", state, err)
	}

	if got := start("b").Len(); got != 0 {
		t.Errorf("%d cells remembered of another deployment", got)
	}
	local[warmKey] = []byte("{")
	if got := start("a").Len(); got != 0 {
		t.Errorf("%d cells remembered of a broken snapshot", got)
	}
}

func TestPrepareFillsInFences(t *testing.T) {
	t.Parallel()
	c := newCache(t, &store{}, Config{})
	var cells []stock.Cell
	for n := int64(1); len(cells) < 3; n++ {
		if sku(n).Partition(partitions) == 2 {
			cells = append(cells, sku(n))
		}
	}
	observe(c, time.Now(), loaded(cells[0], 1, 7))
	observe(c, time.Now(), loaded(cells[1], 2, 3))
	requests := []stock.Request{
		{Cell: cells[0]}, {Cell: cells[0]}, {Cell: cells[2]}, {Cell: cells[1]}, {Cell: cells[2]}, {Cell: cells[0]},
	}
	c.Prepare(2, requests)
	var got []stock.Position
	for _, r := range requests {
		got = append(got, r.Fence)
	}
	one, two := stock.Position{Epoch: 1, Seq: 7}, stock.Position{Epoch: 2, Seq: 3}
	if diff := cmp.Diff([]stock.Position{one, one, {}, two, {}, one}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever is observed in whatever order: a fence never goes back, the memory is bounded, and what is
// shown is never from before what was shown.
func TestObservations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Now()
		c := New(&store{}, Config{CellsMax: 8 * partitions, Now: func() time.Time { return start }}, metrics.NewSet())
		defer c.Close()
		skus := int64(rapid.IntRange(1, 60).Draw(t, "skus"))
		highest := map[stock.Cell]stock.Position{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			cell := sku(rapid.Int64Range(1, skus).Draw(t, "sku"))
			state := loaded(cell, uint32(rapid.IntRange(1, 3).Draw(t, "epoch")), rapid.Uint64Range(1, 50).Draw(t, "seq"))
			state.Loaded = rapid.IntRange(0, 9).Draw(t, "loaded") > 0
			asOf := start.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "asOf")) * time.Millisecond)
			_, shown, known := c.Peek(cell)
			observe(c, asOf, state)

			if !known { // forgotten, or new
				highest[cell] = stock.Position{}
			}
			if highest[cell].Less(state.Position) && (known || state.Loaded) {
				highest[cell] = state.Position
			}
			if got := fence(c, cell); got != highest[cell] {
				t.Fatalf("the fence of %v is %v, want %v", cell, got, highest[cell])
			}
			if after, asOfAfter, ok := c.Peek(cell); ok && known && asOfAfter.Before(shown) {
				t.Fatalf("%v is shown as of %v, and before as of %v", after, asOfAfter, shown)
			}
			if got := c.Len(); got > 8*partitions {
				t.Fatalf("%d cells remembered, want at most %d", got, 8*partitions)
			}
		}
	})
}

func TestUnknownCellsPushNothingOut(t *testing.T) {
	t.Parallel()
	c := newCache(t, &store{}, Config{CellsMax: partitions})
	observe(c, time.Now(), loaded(sku(1), 1, 1))
	for n := range int64(1000) {
		observe(c, time.Now(), stock.CellState{Cell: sku(10 + n)})
	}
	if got := fence(c, sku(1)); got.Seq != 1 {
		t.Errorf("the fence is %v after a thousand made-up SKUs", got)
	}
	if got := c.Len(); got != 1 {
		t.Errorf("%d cells remembered, want 1", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c := newCache(t, &store{}, Config{CellsMax: 64})
	var wg sync.WaitGroup
	for worker := range int64(8) {
		wg.Go(func() {
			for i := range int64(500) {
				cell := sku(1 + (worker*7+i)%100)
				switch i % 4 {
				case 0:
					if _, _, err := c.State(t.Context(), cell, time.Duration(i%3)*time.Millisecond); err != nil {
						t.Error(err)
					}
				case 1:
					observe(c, time.Now(), loaded(cell, 1, uint64(i)))
				case 2:
					_ = fence(c, cell)
				case 3:
					c.Prepare(cell.Partition(partitions), []stock.Request{{Cell: cell}})
				}
			}
		})
	}
	wg.Wait()
}

// What was seen of a cell stays, also after Redis has lost it.
func TestSeenIsWhatACellWasLast(t *testing.T) {
	t.Parallel()
	c := newCache(t, &store{}, Config{})
	state := loaded(sku(1), 1, 7)
	state.Balances = stock.Balances{Avail: 5, Held: 2, Sold: 3, Total: 10}
	now := time.Now()
	observe(c, now, state)
	observe(c, now.Add(time.Second), stock.CellState{Cell: sku(1)})
	observe(c, now.Add(time.Second), stock.CellState{Cell: sku(2)}) // nobody knows it
	if lost, _, ok := c.Peek(sku(1)); !ok || lost.Loaded {
		t.Errorf("the lost cell is %+v", lost)
	}
	state.Loaded = false
	for p := range partitions {
		seen := c.Seen(p)
		if p == sku(1).Partition(partitions) {
			if diff := cmp.Diff([]stock.CellState{state}, seen); diff != "" {
				t.Error(diff)
			}
		} else if len(seen) > 0 {
			t.Errorf("partition %d: %+v", p, seen)
		}
	}
}
