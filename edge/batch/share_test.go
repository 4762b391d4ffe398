package batch

import (
	"hash/maphash"
	"testing"
	"time"
)

// slots are the two counts of a user.
func (s *share) slots(user int64) (a, b *uint16) {
	hash := maphash.Comparable(s.seed, user)
	return &s.rows[0][hash%shareSlots], &s.rows[1][hash>>32%shareSlots]
}

func (s *share) sum() (n int) {
	for i := range s.rows {
		for _, count := range s.rows[i][:] {
			n += int(count)
		}
	}
	return n
}

// TestShareMakesRoomForThoseWhoAskSeldom fills a lane of 800 as far as a user may find room in it.
func TestShareMakesRoomForThoseWhoAskSeldom(t *testing.T) {
	t.Parallel()
	for had, want := range []int64{800, 600, 500, 450, 425, 412, 406, 403} {
		if got := roomFor(uint16(had), 800); got != want {
			t.Errorf("who had %d finds room among %d, want %d", had, got, want)
		}
	}
	for _, had := range []uint16{11, 62, 63, 64, countMax} {
		if got := roomFor(had, 800); got != 400 {
			t.Errorf("who had %d finds room among %d: half of the lane is for everybody", had, got)
		}
	}
	var s share
	now := time.Now()
	for n, has := range []int64{799, 599, 499, 449} {
		if s.take(7, has+1, 800, now) {
			t.Errorf("request %d: no room is left", n+1)
		}
		if !s.take(7, has, 800, now) {
			t.Errorf("request %d: there is room", n+1)
		}
	}
}

// TestShareBelievesTheLowerCount has others share one of a user's two slots, whichever it is: that takes no room from the user.
func TestShareBelievesTheLowerCount(t *testing.T) {
	t.Parallel()
	for row := range 2 {
		var s share
		now := time.Now()
		s.take(7, 0, 800, now)
		a, b := s.slots(7)
		*[]*uint16{a, b}[row] = 50
		if !s.take(7, 599, 800, now) {
			t.Errorf("row %d has others", row)
		}
		if s.take(7, 500, 800, now) {
			t.Errorf("row %d has others, and the user has had two", row)
		}
	}
}

// TestShareBeginsAnew forgets all counts after a period, and mixes users anew.
func TestShareBeginsAnew(t *testing.T) {
	t.Parallel()
	var s share
	now := time.Now()
	for user := range int64(100) {
		s.take(user, 0, 800, now)
		s.take(user, 0, 800, now.Add(sharePeriod-1))
	}
	if n := s.sum(); n < 2*190 || n > 2*200 { // some users share a slot by chance
		t.Errorf("two rows count %d of 200 requests", n)
	}
	before := s.seed
	s.take(7, 0, 800, now.Add(sharePeriod))
	if n := s.sum(); n != 2 {
		t.Errorf("after a period two rows count %d of one request", n)
	}
	if s.seed == before {
		t.Error("users who share a slot share it for ever")
	}
}

// TestShareCountsWithoutEnd does not begin again with 0 where a count is full.
func TestShareCountsWithoutEnd(t *testing.T) {
	t.Parallel()
	var s share
	now := time.Now()
	s.take(7, 0, 800, now)
	a, b := s.slots(7)
	*a, *b = countMax, countMax
	s.take(7, 0, 800, now)
	if *a != countMax || *b != countMax || s.take(7, 400, 800, now) {
		t.Errorf("counts %d and %d", *a, *b)
	}
}
