package batch

import (
	"hash/maphash"
	"time"
)

const (
	sharePeriod = time.Second
	shareSlots  = 1 << 15 // of each row; a power of two
)

// share keeps users from each other's part of a lane that sheds. The more requests of a user the lane has let in during a
// period, the emptier it must be for the next one: half of it is for everybody, a quarter for those who had one at most, an
// eighth for those who had two, and so on. So whoever asks seldom finds room where others ask without end.
//
// It counts in two rows of slots that users share by chance, and believes the lower count. The chances are new in each
// period, so that nobody is unlucky for long, or can choose whom to harm.
type share struct {
	began time.Time
	seed  maphash.Seed
	rows  *[2][shareSlots]uint16 // nil until the lane first sheds
}

// take counts a request of a user and returns true if the lane, which has so many of the most it may have, has room for it.
func (s *share) take(user, has, most int64, now time.Time) bool {
	if s.rows == nil {
		s.rows = new([2][shareSlots]uint16)
	}
	if passed := now.Sub(s.began); passed >= sharePeriod || s.began.IsZero() {
		clear(s.rows[0][:])
		clear(s.rows[1][:])
		s.began, s.seed = now, maphash.MakeSeed()
	}
	hash := maphash.Comparable(s.seed, user)
	a, b := &s.rows[0][hash%shareSlots], &s.rows[1][hash>>32%shareSlots]
	had := min(*a, *b)
	if has >= roomFor(had, most) {
		return false
	}
	if had < countMax {
		*a, *b = max(*a, had+1), max(*b, had+1)
	}
	return true
}

const countMax = 1<<16 - 1

// roomFor returns how many requests a lane may have for one more of a user who had so many.
func roomFor(had uint16, most int64) int64 { return most/2 + most>>(min(had, 62)+1) }
