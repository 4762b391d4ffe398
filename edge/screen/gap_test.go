package screen

import (
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
	"sluice/edge/internal/storetest"
)

// Entries that came and went unseen may have been reservations.
func TestSoldOutStopsAtAGap(t *testing.T) {
	t.Parallel()
	onModel(t, 2, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		first := s.take()
		s.follow()
		s.release(first)
		hidden := s.take()
		s.dropOutbox(m)
		second := s.take2()
		time.Sleep(soon)
		if s.screens() {
			t.Error("answers across a gap")
		}
		s.Saw(s.cell)
		time.Sleep(soon)
		if s.screens() {
			t.Error("follows again without a rest")
		}
		time.Sleep(restMin)
		s.follow()
		if !s.screens() {
			t.Error("does not answer after a new base")
		}
		for _, r := range []*stock.Request{first, hidden, second} {
			if s.Certain(s.cell, r.ID) {
				t.Error("answers sold_out to a shopper who has a reservation")
			}
		}
	})
}

// take2 releases and takes a unit, so that an event of the cell follows.
func (s *sale) take2() *stock.Request {
	s.t.Helper()
	s.release(storetest.Take(s.cell, 1, "key", partitions))
	return s.take()
}

// The last events may be missing, so that no later one shows the gap: the reading does.
func TestSoldOutFindsAGapAtTheEnd(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		r := s.take()
		s.follow()
		s.release(r)
		hidden := s.take()
		s.dropOutbox(m)
		for range 30 {
			time.Sleep(soon)
			_ = s.screens()
		}
		if s.screens() || s.mistaken.Get() != 0 {
			t.Errorf("answers across a gap, or was mistaken (%d times) though no unit is free", s.mistaken.Get())
		}
		time.Sleep(restMin)
		s.follow()
		if !s.screens() || s.Certain(s.cell, hidden.ID) {
			t.Error("does not answer rightly after a new base")
		}
	})
}

// A cell that was read just now has reservations that the outbox will only tell of.
func TestSoldOutWaitsForTheOutboxAfterAReading(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		s.follow()
		other := s.neighbour()
		storetest.Load(t, m, 1, stock.Settings{}, other)
		first := storetest.Take(other, 1, "key", partitions)
		m.hook(nil, func() {
			if s.Certain(other, first.ID) {
				t.Error("answers sold_out to a shopper before the outbox was read")
			}
		})
		storetest.Decide(t, m, stock.OpReserve, first)
		s.Saw(other)
		time.Sleep(soon)
		m.hook(nil, nil)
		synctest.Wait()
		if s.Certain(other, first.ID) || !s.Certain(other, s.request().ID) {
			t.Error("does not answer rightly after the outbox was read")
		}
	})
}

// The counters that are read once a second may be ahead of the events.
func TestSoldOutYieldsToItsOwnReading(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		r := s.take()
		s.follow()
		read, asked := false, false
		m.hook(func() {
			if !read {
				read = true
				s.release(r)
			}
		}, func() {
			if read && !asked {
				asked = true
				if s.screens() {
					t.Error("answers although a free unit was read")
				}
			}
		})
		for range 30 {
			time.Sleep(soon)
			_ = s.screens()
		}
		m.hook(nil, nil)
		synctest.Wait()
		if !asked {
			t.Error("the test did not reach a reading")
		}
	})
}

// An entry of another cell that came and went while a call hung leaves no gap in any seq.
func TestSoldOutStopsAfterALongPause(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{CallTimeout: time.Minute}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		other := s.neighbour()
		storetest.Load(t, m, 1, stock.Settings{}, other)
		s.follow()
		hidden := storetest.Take(other, 1, "key", partitions)
		m.hook(nil, func() {
			m.hook(nil, nil)
			storetest.Decide(t, m, stock.OpReserve, hidden)
			time.Sleep(260 * time.Millisecond)
			s.dropOutbox(m)
		})
		time.Sleep(time.Second)
		s.Saw(other)
		time.Sleep(soon)
		if s.Certain(other, hidden.ID) {
			t.Error("answers sold_out to a shopper whose reservation was never seen")
		}
	})
}

func TestSoldOutStopsWhenRedisWentBack(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		s.follow()
		m.Edit(s.cell, func(c *stock.CellState) {
			c.Seq--
			c.Avail, c.Held = 1, 0
		})
		for range 30 {
			time.Sleep(soon)
			_ = s.screens()
		}
		if s.screens() {
			t.Error("answers for a cell whose last second was lost")
		}
	})
}

// While the base is read, reservations are made, persisted and deleted from the outbox.
func TestSoldOutMissesNothingDuringItsBase(t *testing.T) {
	t.Parallel()
	onModel(t, 2000, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		for range 2000 {
			_ = s.take()
		}
		s.dropOutbox(m)
		var made []*stock.Request
		step := 0
		m.scanStep = func() {
			time.Sleep(time.Millisecond)
			switch step++; step % 600 {
			case 0:
				r := storetest.Take(s.cell, int64(step/600), "key", partitions)
				storetest.Decide(t, m, stock.OpRelease, r)
				made = append(made, s.take())
			case 300: // the persister, no sooner than 250 ms after the commit
				s.dropOutbox(m)
			}
		}
		s.Saw(s.cell)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !s.screens() {
			t.Fatal("does not answer after its base")
		}
		if len(made) < 3 {
			t.Fatalf("%d reservations made during the base", len(made))
		}
		for _, r := range made {
			if s.Certain(s.cell, r.ID) {
				t.Error("answers sold_out to a shopper whose reservation was made during the base")
			}
		}
	})
}

// Who edits counters by hand makes no event, so the screen would say sold_out for ever.
func TestSoldOutLeavesEditedCellsToRedis(t *testing.T) {
	t.Parallel()
	onModel(t, 1, stock.Settings{}, SoldOutConfig{}, func(s *sale, m *model) {
		t := s.t
		_ = s.take()
		s.follow()
		if !s.screens() || s.mistaken.Get() != 0 {
			t.Fatalf("before the edit: mistaken %d times", s.mistaken.Get())
		}
		m.Edit(s.cell, func(c *stock.CellState) { c.Avail++ })
		for range 30 { // longer than between two readings
			time.Sleep(soon)
			_ = s.screens()
		}
		if s.screens() || s.mistaken.Get() != 1 {
			t.Errorf("answers %t for units that are free in Redis; mistaken %d times, want 1", s.screens(), s.mistaken.Get())
		}
	})
}
