package screen

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
	"sluice/edge/internal/storetest"
)

// soon is enough time for a follower to begin, on the fake clock.
const soon = 50 * time.Millisecond

// onModel runs a test on the model and a fake clock.
func onModel(t *testing.T, units int64, settings stock.Settings, cfg SoldOutConfig, test func(s *sale, m *model)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newModel()
		test(newSale(t, m, units, settings, cfg), m)
	})
}

// follow has the screen follow the cell, as after a sold_out of Redis.
func (s *sale) follow() {
	s.Saw(s.cell)
	time.Sleep(soon)
	synctest.Wait()
}

func TestSoldOutAnswersForOthersOnly(t *testing.T) {
	t.Parallel()
	onModel(t, 3, stock.Settings{}, SoldOutConfig{}, func(s *sale, _ *model) {
		t := s.t
		before := []*stock.Request{s.take(), s.take(), s.deduct()}
		if s.screens() || s.Any() || s.Maybe(s.cell) {
			t.Error("answers before Redis ever said sold_out")
		}
		s.follow()
		if !s.Any() || !s.Maybe(s.cell) || s.Maybe(stock.Cell{SKU: s.cell.SKU + 1}) {
			t.Errorf("of any cell %t, of this one %t, of another one %t", s.Any(), s.Maybe(s.cell), s.Maybe(stock.Cell{SKU: s.cell.SKU + 1}))
		}
		if !s.screens() {
			t.Error("does not answer although the cell is sold out")
		}
		for _, r := range before {
			if s.Certain(s.cell, r.ID) {
				t.Error("answers sold_out to a shopper whose reservation was there before the base")
			}
		}
		s.release(before[0])
		s.release(before[1])
		after := []*stock.Request{s.take(), s.deduct()}
		time.Sleep(soon)
		if !s.screens() {
			t.Error("does not answer although the cell is sold out again")
		}
		for _, r := range after {
			if s.Certain(s.cell, r.ID) {
				t.Error("answers sold_out to a shopper whose reservation came after the base")
			}
		}
		if s.Certain(s.cell, before[0].ID) {
			t.Error("answers sold_out to a shopper whose reservation was released")
		}
		if s.Certain(sku(2), s.request().ID) {
			t.Error("answers for a cell that nobody saw sold out")
		}
	})
}

func TestSoldOutLearnsOfReturnedStock(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{Hold: time.Minute}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		r := s.take()
		s.follow()
		returned := func(what string, give func()) {
			t.Helper()
			if !s.screens() {
				t.Fatalf("before %s: the screen does not answer", what)
			}
			give()
			time.Sleep(ageMax)
			if s.screens() {
				t.Errorf("still answers 200 ms after %s", what)
			}
		}
		returned("a release", func() { s.release(r) })
		_ = s.take()
		time.Sleep(soon)
		returned("a restock", func() {
			storetest.Decide(t, s.store, stock.OpAdjust, &stock.Request{
				ID:         stock.Identity{User: 1, Route: stock.OpAdjust, Cell: s.cell, Key: "more"}.ID(partitions),
				Cell:       s.cell,
				Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Delta: 1, Reason: "test"},
			})
		})
		_ = s.take()
		time.Sleep(soon)
		returned("an expiry", func() {
			for range 60 { // keeps the follower at work
				time.Sleep(time.Second)
				_ = s.screens()
			}
			if sweep, err := m.Expire(t.Context(), s.partition(), 10); err != nil || sweep.Expired == 0 {
				t.Fatalf("expired %d, %v", sweep.Expired, err)
			}
		})
	})
}

// An answer of Redis to this edge is newer than the follower's knowledge.
func TestSoldOutYieldsToWhatTheEdgeSaw(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		r := s.take()
		s.follow()
		s.release(r)
		states, _, err := m.Store.Cells(t.Context(), []stock.Cell{s.cell})
		if err != nil {
			t.Fatal(err)
		}
		if !s.screens() {
			t.Error("the follower cannot know yet")
		}
		s.known.Observe(s.partition(), states, time.Now())
		if s.screens() {
			t.Error("answers although this edge saw a unit returned")
		}
	})
}

// neighbour is another cell of the partition.
func (s *sale) neighbour() stock.Cell {
	other := s.cell
	for other.SKU++; other.Partition(partitions) != s.partition(); other.SKU++ {
	}
	return other
}

// While a call hangs, what is known grows old.
func TestSoldOutAnswersAreYoung(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{CallTimeout: time.Minute}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		s.follow()
		m.hook(nil, func() { time.Sleep(10 * time.Second) })
		time.Sleep(ageMax - 20*time.Millisecond)
		if !s.screens() {
			t.Error("does not answer within 200 ms")
		}
		time.Sleep(21 * time.Millisecond)
		if s.screens() {
			t.Error("answers after more than 200 ms")
		}
		m.hook(nil, nil)
	})
}

func TestSoldOutOnlyWhereStockIsTheReason(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	hour := time.Hour.Milliseconds()
	for _, test := range []struct {
		name     string
		settings stock.Settings
		edit     func(*stock.CellState)
		want     bool
	}{
		{"open", stock.Settings{}, nil, true},
		{"frozen", stock.Settings{Frozen: true}, nil, false},
		{"fenced", stock.Settings{}, func(c *stock.CellState) { c.Fenced = true }, false},
		{"breached", stock.Settings{}, func(c *stock.CellState) { c.Breached = true }, false},
		{"within its window", stock.Settings{OpensAtMS: now - hour, ClosesAtMS: now + hour}, nil, true},
		{"not yet open", stock.Settings{OpensAtMS: now + hour}, nil, false},
		{"closed", stock.Settings{ClosesAtMS: now - hour}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := newModel() // on the real clock, which the windows are made for
			s := newSale(t, m, 0, test.settings, SoldOutConfig{})
			if test.edit != nil {
				m.Edit(s.cell, test.edit)
			}
			for deadline := time.Now().Add(20 * time.Second); ; <-time.After(time.Millisecond) {
				s.Saw(s.cell) // also after a pause of a busy machine, at which the follower stops
				f := s.followers[s.partition()].Load()
				if f != nil && f.polls() >= 2 && s.screens() == test.want {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("never answers as it should: sold_out %v", test.want)
				}
			}
		})
	}
}

// polls is 2 at least once a cell that was read has been followed by a poll.
func (f *follower) polls() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, c := range f.cells {
		if f.seen > c.since {
			return 2
		}
	}
	return 0
}

// Near its opening and closing only Redis' clock decides, and what an admin changes counts at once.
func TestSoldOutFollowsSettings(t *testing.T) {
	t.Parallel()
	onModel(t, 0, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		s.follow()
		set := func(fields stock.Fields, settings stock.Settings, want bool) {
			t.Helper()
			o := storetest.Decide(t, s.store, stock.OpAdjust, &stock.Request{
				ID:   stock.Identity{User: 1, Route: stock.OpAdjust, Cell: s.cell, Key: fmt.Sprint(time.Now())}.ID(partitions),
				Cell: s.cell,
				Adjustment: &stock.Adjustment{
					Kind: stock.AdjustPlain, Fields: fields, Settings: settings, Reason: "test",
				},
			})
			if o.Verdict != stock.VerdictOK {
				t.Fatal(o.Verdict)
			}
			time.Sleep(soon)
			if got := s.screens(); got != want {
				t.Errorf("after %+v answers sold_out: %v, want %v", settings, got, want)
			}
		}
		set(stock.FieldFrozen, stock.Settings{Frozen: true}, false)
		set(stock.FieldFrozen, stock.Settings{}, true)
		set(stock.FieldClosesAt, stock.Settings{ClosesAtMS: time.Now().Add(10 * time.Second).UnixMilli()}, true)
		for range 90 {
			time.Sleep(100 * time.Millisecond)
			_ = s.screens()
		}
		if s.screens() {
			t.Error("answers sold_out within a second of the closing")
		}
		set(stock.FieldClosesAt, stock.Settings{}, true)
		set(stock.FieldOpensAt, stock.Settings{OpensAtMS: time.Now().UnixMilli()}, false)
		for range 8 {
			time.Sleep(100 * time.Millisecond)
			if s.screens() {
				t.Error("answers sold_out within a second of the opening")
			}
		}
		time.Sleep(200 * time.Millisecond)
		if !s.screens() {
			t.Error("does not answer a second after the opening")
		}
		shut := func(what string, edit func(c *stock.CellState, shut bool)) { // has no event
			t.Helper()
			for _, shut := range []bool{true, false} {
				m.Edit(s.cell, func(c *stock.CellState) { edit(c, shut) })
				for range 11 {
					time.Sleep(auditEvery / 10)
					_ = s.screens() // keeps the follower at work
				}
				if s.screens() == shut {
					t.Errorf("%s is %v: answers sold_out: %v", what, shut, shut)
				}
			}
		}
		shut("fenced", func(c *stock.CellState, shut bool) { c.Fenced = shut })
		shut("breached", func(c *stock.CellState, shut bool) { c.Breached = shut })
	})
}

func TestSoldOutKnowsNothingWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		s.follow()
		m.setDown(true)
		time.Sleep(ageMax + time.Millisecond)
		if s.screens() {
			t.Error("answers although nothing was read for 200 ms")
		}
		m.setDown(false)
		time.Sleep(restMax)
		s.follow()
		if !s.screens() {
			t.Error("does not recover")
		}
	})
}

func TestSoldOutStopsWhenNobodyAsks(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		s.follow()
		for range 10 {
			time.Sleep(time.Second)
			if !s.screens() {
				t.Fatal("does not answer while it is asked")
			}
		}
		time.Sleep(6 * time.Second)
		calls := m.callCount()
		time.Sleep(time.Minute)
		if m.callCount() != calls || s.Following() != 0 {
			t.Errorf("%d calls in a minute in which nobody asked", m.callCount()-calls)
		}
		s.follow()
		if !s.screens() {
			t.Error("does not follow again")
		}
	})
}

// Questions about other cells of the partition are no reason to go on.
func TestSoldOutStopsWhenOnlyOthersAreAsked(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, _ *model) {
		t := s.t
		_ = s.take()
		other := s.neighbour()
		s.follow()
		for range 70 {
			time.Sleep(100 * time.Millisecond)
			_ = s.Certain(other, s.request().ID)
		}
		if s.Following() != 0 {
			t.Error("still follows")
		}
	})
}

func TestSoldOutIsBounded(t *testing.T) {
	t.Parallel()
	onModel(t, 10, stock.Settings{}, SoldOutConfig{FollowMax: 1, IDsMax: 5}, func(s *sale, m *model) {
		t := s.t
		other := s.cell
		for other.SKU++; other.Partition(partitions) == s.partition(); other.SKU++ {
		}
		storetest.Load(t, m, 0, stock.Settings{}, other)
		s.Saw(other)
		s.follow()
		if s.followers[s.partition()].Load() != nil || s.Following() != 1 {
			t.Error("follows more partitions than it may")
		}
		time.Sleep(20 * time.Second)
		for range 10 {
			_ = s.take()
		}
		s.follow()
		if s.screens() || s.Following() != 0 {
			t.Error("follows a partition with more reservations than it may")
		}
	})
}

// Random reserves, releases and deletions by others; the screen must be right about what was so at
// most 200 ms ago.
func TestSoldOutIsNeverWrong(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	onModel(t, 3, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		r := rand.New(rand.NewPCG(seed, 0))
		type taken struct {
			*stock.Request
			at time.Time
		}
		var all, held []taken
		var free []time.Time // when a unit was last seen free
		entries := map[string]time.Time{}
		answered, asked := 0, 0
		for range 20_000 {
			time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
			state, _, err := m.Store.Cells(t.Context(), []stock.Cell{s.cell})
			if err != nil {
				t.Fatal(err)
			}
			if state[0].Avail > 0 {
				free = append(free, time.Now())
			}
			switch n := r.IntN(100); {
			case n < 2 && len(held) > 0:
				i := r.IntN(len(held))
				s.release(held[i].Request)
				held = append(held[:i], held[i+1:]...)
			case n < 6:
				if state[0].Avail > 0 {
					t := taken{s.take(), time.Now()}
					all, held = append(all, t), append(held, t)
				} else {
					s.Saw(s.cell)
				}
			case n < 8: // the persister deletes what is old enough, and rarely what is not
				list, err := m.Store.OutboxAfter(t.Context(), s.partition(), "", 1000)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range list {
					if entries[e.ID].IsZero() {
						entries[e.ID] = time.Now()
					}
					if time.Since(entries[e.ID]) > 250*time.Millisecond {
						_, _ = m.OutboxDelete(t.Context(), s.partition(), []string{e.ID})
					}
				}
			case n < 50 && len(all) > 0:
				known := all[r.IntN(len(all))]
				if s.Certain(s.cell, known.ID) && time.Since(known.at) > ageMax {
					t.Fatalf("sold_out to a shopper who has had a reservation for %v", time.Since(known.at))
				}
			default:
				asked++
				if s.screens() {
					answered++
					if len(free) > 0 && state[0].Avail > 0 && time.Since(firstOf(free)) > ageMax {
						t.Fatalf("sold_out although a unit has been free for %v", time.Since(firstOf(free)))
					}
				}
			}
			if state[0].Avail == 0 {
				free = nil
			}
		}
		if answered < asked/10 {
			t.Errorf("answered %d of %d: the test shows little", answered, asked)
		}
	})
}

func firstOf(times []time.Time) time.Time { return times[0] }

func TestSoldOutOnRedis(t *testing.T) {
	t.Parallel()
	store := storetest.Start(t, stock.PartitionsDefault)
	s := newSale(t, store, 500, stock.Settings{Limit: 1}, SoldOutConfig{})
	var before []*stock.Request
	for range 500 {
		before = append(before, s.take())
	}
	untilItAnswers := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !s.screens(); <-time.After(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("after twenty seconds the screen does not answer")
			}
			s.Saw(s.cell) // also after a pause of a busy machine, at which the follower stops
		}
	}
	untilItAnswers()
	for _, r := range before {
		if s.Certain(s.cell, r.ID) {
			t.Fatal("answers sold_out to a shopper who has a reservation")
		}
	}
	s.release(before[0])
	released := time.Now()
	for asked := time.Now(); s.screens(); asked = time.Now() {
		if old := asked.Sub(released); old > ageMax {
			t.Fatalf("answers sold_out %v after a unit came back", old)
		}
	}
	after := s.take()
	untilItAnswers()
	if s.Certain(s.cell, after.ID) {
		t.Error("answers sold_out to a shopper whose reservation came after the base")
	}
}
