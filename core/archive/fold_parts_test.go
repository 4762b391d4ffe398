package archive_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sluice/core/archive"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// sale is a random history of a cell whose limit is set and lifted, with the counts of its users as Redis has them.
type sale struct {
	*rand.Rand

	events  []ledger.Recorded
	held    map[stock.ReservationID]ledger.Recorded
	counted map[stock.ReservationID]bool
	counts  map[int64]int64
	limit   int64
	epoch   uint32
	seq     uint64
}

func newSale(seed uint64, events int) *sale {
	s := &sale{
		Rand: rand.New(rand.NewPCG(seed, 3)), held: map[stock.ReservationID]ledger.Recorded{}, counted: map[stock.ReservationID]bool{},
		counts: map[int64]int64{}, epoch: 1,
	}
	s.adjust(100)
	for len(s.events) < events {
		switch n := s.IntN(12); {
		case n == 0:
			s.limit = int64(s.IntN(2) * 50)
			s.adjust(1)
		case n == 1:
			s.adjust(int64(s.IntN(3)))
		case n == 2 && s.IntN(3) == 0:
			s.rebase()
		case n < 6 || len(s.held) == 0:
			s.take(event.KindReserve)
		case n == 6:
			s.take(event.KindDeduct)
		case n == 7:
			s.giveBack()
		case n == 8:
			s.settle(event.KindExtend)
		default:
			s.settle([]event.Kind{event.KindConfirm, event.KindRelease, event.KindExpire, event.KindRevoke}[s.IntN(4)])
		}
	}
	return s
}

func (s *sale) happen(e ledger.Recorded, avail, held, sold int64) {
	if n := len(s.events); n > 0 {
		last := &s.events[n-1]
		avail, held, sold = avail+last.Avail, held+last.Held, sold+last.Sold
	}
	e.Cell, e.Position = stock.Cell{SKU: 7}, stock.Position{Epoch: s.epoch, Seq: s.seq + 1}
	e.Avail, e.Held, e.Sold, e.TimeMS = avail, held, sold, 1_700_000_000_000+int64(len(s.events))
	s.events, s.seq = append(s.events, e), e.Seq
}

// rebase begins an epoch. It declares two events lost. The ledger has the second of them.
func (s *sale) rebase() {
	last := s.events[len(s.events)-1]
	from := last.Position
	var lost ledger.Recorded
	lost.Kind, lost.Change = event.KindAdjust, event.Change{Delta: 1, Settings: stock.Settings{Hold: time.Minute, Limit: 1}, Reason: "lost"}
	s.seq++ // the one before it never arrived
	s.happen(lost, 1, 0, 0)
	var e ledger.Recorded
	e.Kind, e.Change = event.KindRebase, event.Change{From: from, Settings: stock.Settings{Hold: time.Minute, Limit: s.limit}, Reason: "test"}
	s.epoch, s.seq = s.epoch+1, from.Seq
	s.happen(e, -1, 0, 0) // from the balances that the lost event left
}

// adjust changes the stock. The fields say whether the limit was set again, even to the same number.
func (s *sale) adjust(delta int64) {
	var e ledger.Recorded
	e.Kind, e.Change = event.KindAdjust, event.Change{Delta: delta, Settings: stock.Settings{Hold: time.Minute, Limit: s.limit}, Reason: "test"}
	if s.IntN(2) == 0 {
		e.Change.Fields = stock.FieldLimit
	}
	s.happen(e, delta, 0, 0)
}

func (s *sale) take(kind event.Kind) {
	var e ledger.Recorded
	e.Kind, e.User, e.Quantity = kind, 1+s.Int64N(5), 1+s.Int64N(2)
	for i := range e.Reservation {
		e.Reservation[i] = byte(s.IntN(256))
	}
	if s.events[len(s.events)-1].Avail < e.Quantity {
		return
	}
	if s.limit > 0 {
		s.counts[e.User] += e.Quantity
		s.counted[e.Reservation] = true
	}
	if kind == event.KindDeduct {
		s.happen(e, -e.Quantity, 0, e.Quantity)
		return
	}
	e.DeadlineMS = 1_800_000_000_000
	s.held[e.Reservation] = e
	s.happen(e, -e.Quantity, e.Quantity, 0)
}

func (s *sale) giveBack() {
	var e ledger.Recorded
	e.Kind, e.User, e.Quantity = event.KindReturn, 1+s.Int64N(5), 1
	for i := range e.Reservation {
		e.Reservation[i] = byte(s.IntN(256))
	}
	if s.events[len(s.events)-1].Sold > 0 {
		s.counts[e.User] = max(0, s.counts[e.User]-1)
		e.Change.Reason = "test"
		s.happen(e, 1, 0, -1)
	}
}

func (s *sale) settle(kind event.Kind) {
	ids := slices.SortedFunc(maps.Keys(s.held), stock.ReservationID.Compare)
	e := s.held[ids[s.IntN(len(ids))]]
	e.Kind = kind
	switch kind {
	case event.KindExtend:
		e.DeadlineMS++
		s.happen(e, 0, 0, 0)
		return
	case event.KindConfirm:
		s.happen(e, 0, -e.Quantity, e.Quantity)
	default:
		if s.counted[e.Reservation] {
			s.counts[e.User] = max(0, s.counts[e.User]-e.Quantity)
		}
		s.happen(e, e.Quantity, -e.Quantity, 0)
	}
	delete(s.held, e.Reservation)
}

// A history that leaves in parts has the same result as one that leaves at once. Each part begins at the checkpoint of
// the one before and the rows that it kept. The users' units agree with the counts in Redis: those of reservations that
// have left, and of open ones.
func TestPartsOfAHistoryComeToTheWhole(t *testing.T) {
	t.Parallel()
	first := uint64(time.Now().UnixNano()) % 1_000_000
	for seed := first; seed < first+200; seed++ {
		s := newSale(seed, 80)
		at, kept, archived := ledger.Checkpoint{Cell: stock.Cell{SKU: 7}}, []ledger.Recorded(nil), map[int64]int64{}
		for from := 0; from < len(s.events); {
			to := min(len(s.events), from+1+s.IntN(30))
			users := map[int64]int64{} // of those who come, as an archiver reads them
			for _, e := range s.events[from:to] {
				if units, has := archived[e.User]; has {
					users[e.User] = units
				}
			}
			f, err := archive.NewFold(at, kept, users)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for i := from; i < to; i++ {
				if err := f.Apply(&s.events[i]); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			stays := f.Kept()
			kept = slices.DeleteFunc(append(kept, s.events[from:to]...), func(e ledger.Recorded) bool { return !stays[e.Position] })
			maps.Copy(archived, f.Buyers())
			at = f.Checkpoint()
			for from < to && !at.Less(s.events[from].Position) { // the last one may wait for a rebase
				from++
			}
		}
		whole, err := archive.NewFold(ledger.Checkpoint{Cell: stock.Cell{SKU: 7}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.events {
			if err := whole.Apply(&s.events[i]); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if at != whole.Checkpoint() || at.Events != int64(len(s.events)) {
			t.Fatalf("seed %d: %+v, want %+v", seed, at, whole.Checkpoint())
		}
		stays := whole.Kept()
		if len(kept) != len(stays) || slices.ContainsFunc(kept, func(e ledger.Recorded) bool { return !stays[e.Position] }) {
			t.Fatalf("seed %d: %d rows stay, want %d", seed, len(kept), len(stays))
		}
		open := map[int64]int64{}
		for id, e := range s.held {
			if s.counted[id] {
				open[e.User] += e.Quantity
			}
		}
		for user := int64(1); user <= 5; user++ {
			if got := archived[user] + open[user]; got != s.counts[user] {
				t.Fatalf("seed %d: user %d has %d by what has left and %d by what is open, and Redis counts %d", seed, user, archived[user], open[user], s.counts[user])
			}
			if archived[user] != whole.Buyers()[user] {
				t.Fatalf("seed %d: user %d has %d in parts, %d as a whole", seed, user, archived[user], whole.Buyers()[user])
			}
		}
	}
}
