package redisstock_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// amends is a shop with a reservation of two units, and nothing else in its partition.
func amends(t *testing.T) (s *shop, held stock.Reservation) {
	t.Helper()
	s, _, _ = opened(t)
	held = s.reserve(s.load(10, stock.Settings{Limit: 5}), 1, 2)
	return s, held
}

// unchanged holds that a call leaves a partition as it is.
func (s *shop) unchanged(partition int, what string, call func()) {
	s.Helper()
	before := s.dump(partition)
	call()
	if diff := cmp.Diff(before, s.dump(partition)); diff != "" {
		s.Errorf("%s (-before +after):\n%s", what, diff)
	}
}

// amend replaces a record, and wants it done or refused.
func (s *shop) amend(found, wanted *stock.Reservation, want bool) {
	s.Helper()
	if done, err := s.AmendRecord(s.Context(), found, wanted); err != nil || done != want {
		s.Errorf("from %v to %v: done is %v (%v), want %v", found.State, wanted.State, done, err, want)
	}
}

func (s *shop) record(id stock.ReservationID) stock.Reservation {
	s.Helper()
	found, _, err := s.Reservations(s.Context(), []stock.ReservationID{id})
	if err != nil {
		s.Fatal(err)
	}
	return found[0]
}

// TestAmendRecord replaces records that nobody has changed since they were found, and no others. Doing it again changes
// nothing.
func TestAmendRecord(t *testing.T) {
	t.Parallel()
	s, held := amends(t)
	p := partition(held.Cell)
	res, due, gone := redisstock.ResKey(p), redisstock.DueKey(p), redisstock.GoneKey(p)
	none, released := stock.Reservation{ID: held.ID}, held
	released.State, released.Counted, released.Seq = stock.StateReleased, false, held.Seq+1

	s.must("HDEL", res, string(held.ID[:]))
	s.must("DEL", due)
	s.amend(&none, &held, true)
	if diff := cmp.Diff(held, s.record(held.ID)); diff != "" {
		t.Errorf("a record that was lost (-want +got):\n%s", diff)
	}
	if at := s.scores(due)[member(held)]; at != held.DeadlineMS {
		t.Errorf("it is due at %d, want %d", at, held.DeadlineMS)
	}
	s.unchanged(p, "it was done again", func() { s.amend(&none, &held, true) })
	other := held
	other.Seq++
	s.unchanged(p, "a record that is another one was replaced", func() { s.amend(&other, &released, false) })
	s.unchanged(p, "a record that is there was taken for none", func() { s.amend(&none, &released, false) })

	before := s.now()
	s.amend(&held, &released, true)
	if got := s.record(held.ID); got.State != stock.StateReleased {
		t.Errorf("it is %v", got.State)
	}
	retention := (24 * time.Hour).Milliseconds()
	if at := s.scores(gone)[string(held.ID[:])]; at < before+retention || at > s.now()+retention {
		t.Errorf("it is forgotten at %d, want %d from %d on", at, retention, before)
	}
	s.must("SET", gone, "of another type")
	s.unchanged(p, "it wrote before it failed", func() {
		confirmed := released
		confirmed.State = stock.StateConfirmed
		if done, err := s.AmendRecord(t.Context(), &released, &confirmed); done || err == nil {
			t.Errorf("with a key of another type: done is %v (%v)", done, err)
		}
	})
	s.must("DEL", gone)
	s.amend(&released, &none, true)
	if got := s.record(held.ID); got.State != stock.StateNone {
		t.Errorf("it is %v, want none", got.State)
	}
	s.unchanged(p, "it was removed again", func() { s.amend(&released, &none, true) })
}

// TestAmendCount replaces users' counts that nobody has changed since they were found, and no others.
func TestAmendCount(t *testing.T) {
	t.Parallel()
	s, held := amends(t)
	p := partition(held.Cell)
	buyers := redisstock.BuyersKey(p, 0)
	field := string(held.Cell.Append(nil)) + "\x00\x00\x00\x00\x00\x00\x00\x01"
	count := func() string {
		t.Helper()
		all, err := s.run("HGETALL", buyers).AsStrMap()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Clone(all[field])
	}
	amend := func(found, wanted int64, want bool) {
		t.Helper()
		if done, err := s.AmendCount(t.Context(), held.Cell, 1, found, wanted); err != nil || done != want {
			t.Errorf("from %d to %d: done is %v (%v), want %v", found, wanted, done, err, want)
		}
	}
	amend(2, 0x010203, true)
	if got := count(); got != "\x01\x02\x03" {
		t.Errorf("the count is %q", got)
	}
	s.unchanged(p, "it was done again", func() { amend(2, 0x010203, true) })
	s.unchanged(p, "a count that is another one was replaced", func() { amend(2, 1, false) })
	s.unchanged(p, "a count that is there was taken for none", func() { amend(0, 1, false) })
	amend(0x010203, 0, true)
	if got := count(); got != "" {
		t.Errorf("the count is %q, want none", got)
	}
	s.must("HSET", buyers, field, "\x00\x00\x00")
	amend(0, 4, true)
	if got := count(); got != "\x00\x00\x04" {
		t.Errorf("the count is %q", got)
	}
}

// TestRepairsOfOtherDataAreShut tries repairs on data that the store does not trust: they are refused.
func TestRepairsOfOtherDataAreShut(t *testing.T) {
	t.Parallel()
	s, held := amends(t)
	p := partition(held.Cell)
	s.must("SET", redisstock.MarkKey(p), redisstock.PackMark(stock.Mark{Nonce: 7, Effects: 1 << 30}))
	s.unchanged(p, "it wrote to other data", func() {
		released := held
		released.State = stock.StateReleased
		if done, err := s.AmendRecord(t.Context(), &held, &released); done || !errors.Is(err, stock.ErrShut) {
			t.Errorf("a record: done is %v, error %v", done, err)
		}
		if done, err := s.AmendCount(t.Context(), held.Cell, 1, 2, 3); done || !errors.Is(err, stock.ErrShut) {
			t.Errorf("a count: done is %v, error %v", done, err)
		}
		if became, _, _, err := s.Shift(t.Context(), shiftOf(held.Cell, 1)); became != 0 || !errors.Is(err, stock.ErrShut) {
			t.Errorf("a shift: %v, error %v", became, err)
		}
	})
}
