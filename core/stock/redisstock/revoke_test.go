package redisstock_test

import (
	"errors"
	"slices"
	"testing"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// overbooked is a shop that is about to find five holds of a unit each. Two of them fit: nobody has heard that they were
// released, and four units were sold since.
func overbooked(t *testing.T) (l *loss, cell stock.Cell, held []stock.Reservation) {
	t.Helper()
	s, cfg, marks := opened(t)
	s.Trust(marks)
	cell = s.load(6, stock.Settings{Limit: 5})
	for user := range int64(5) {
		held = append(held, s.reserve(cell, 2+user, 1))
	}
	l = &loss{shop: s, cfg: cfg, held: held[0], copied: s.dump(partition(cell))}
	for _, r := range held {
		s.one(stock.OpRelease, stock.Request{ID: r.ID, Cell: cell})
	}
	for user := range int64(4) {
		s.one(stock.OpDeduct, take(stock.OpDeduct, cell, 11+user, 1))
	}
	known := l.lose()
	known[cell] = slices.DeleteFunc(known[cell], func(e heard) bool { return e.Kind == event.KindRelease })
	return l, cell, held
}

// TestRevocationsGoOn kills a rebuild after each of its parts. The next process revokes the rest, and each revoked hold
// has its event.
func TestRevocationsGoOn(t *testing.T) {
	t.Parallel()
	killed := errors.New("killed")
	kills := 0
	for after := 1; ; after++ {
		l, cell, held := overbooked(t)
		l.cfg.WriteRecordsOneByOne()
		l.cfg.KillAfterParts(after, killed)
		_, err := redisstock.Open(t.Context(), l.client, l.cfg)
		if err == nil {
			break // it has fewer parts
		}
		if !errors.Is(err, killed) {
			t.Fatalf("after %d parts: %v", after, err)
		}
		kills++
		l.revokedHaveEvents(cell, held)
		if value := l.unread(redisstock.CellsKey(partition(cell)), string(cell.Append(nil))); value[epochEnd] > 1 && value[heldEnd] != 2 && value[flagsAt]&byte(event.ShutFenced) == 0 {
			t.Errorf("after %d parts the cell is open, and is not whole: %x", after, value)
		}
		l.cfg.KillAfterParts(0, nil)
		report, err := redisstock.Open(t.Context(), l.client, l.cfg)
		if err != nil {
			t.Fatalf("after %d parts: %v", after, err)
		}
		l.Distrust([]int{partition(cell)})
		l.Trust(report.Marks)
		if revoked := l.revokedHaveEvents(cell, held); !slices.Equal(revoked, []int{2, 3, 4}) {
			t.Errorf("after %d parts: revoked are %v, want the newest three", after, revoked)
		}
		got := l.content(cell)
		if want := (stock.Balances{Held: 2, Sold: 4, Total: 6}); got.Balances != want {
			t.Errorf("after %d parts: %+v, want %+v", after, got.Balances, want)
		}
		for i, r := range held {
			if want := map[bool]int64{true: 1}[i < 2]; got.Buyers[r.User] != want {
				t.Errorf("after %d parts: user %d has %d", after, r.User, got.Buyers[r.User])
			}
		}
		l.one(stock.OpRelease, stock.Request{ID: held[0].ID, Cell: cell})
		l.reserve(cell, 20, 1)
	}
	if kills < 6 { // the four sales, two revocations, and the last one with the cell
		t.Errorf("%d kills", kills)
	}
}

// revokedHaveEvents tells which holds are revoked. Each must have an event that says so.
func (l *loss) revokedHaveEvents(cell stock.Cell, held []stock.Reservation) (revoked []int) {
	l.Helper()
	said := map[stock.ReservationID]uint64{}
	for _, e := range l.tell(partition(cell))[cell] {
		if e.Kind == event.KindRevoke {
			said[e.Reservation] = e.Seq
		}
		if e.Check() != nil {
			l.Error(e.Check())
		}
	}
	for i, r := range held {
		record := l.unread(redisstock.ResKey(partition(cell)), string(r.ID[:]))
		state, seq := stock.State(record[1]&127), uint64(record[7]) // of a few events
		if state == stock.StateRevoked {
			revoked = append(revoked, i)
		}
		if state == stock.StateRevoked && said[r.ID] != seq || state != stock.StateRevoked && said[r.ID] != 0 {
			l.Errorf("%d is %v by seq %d, and the event that revokes it has %d", i, state, seq, said[r.ID])
		}
	}
	return revoked
}

// unread is a value of a hash, also of a partition that is shut.
func (l *loss) unread(key, field string) string {
	l.Helper()
	value, err := l.run("HGET", key, field).ToString()
	if err != nil {
		l.Fatal(err)
	}
	return value
}

// TestManyRevocations revokes more holds than one part has, and more than one entry of the outbox can have events of.
func TestManyRevocations(t *testing.T) {
	t.Parallel()
	s, cfg, marks := opened(t)
	s.Trust(marks)
	const holds, stays = 2500, 100
	cell := s.load(holds, stock.Settings{})
	var takes, releases []stock.Request
	for user := range int64(holds) {
		r := take(stock.OpReserve, cell, 1+user, 1)
		takes, releases = append(takes, r), append(releases, stock.Request{ID: r.ID, Cell: cell})
	}
	for some := range slices.Chunk(takes, 100) {
		s.do(stock.OpReserve, some...)
	}
	l := &loss{shop: s, cfg: cfg, held: stock.Reservation{Cell: cell}, copied: s.dump(partition(cell))}
	for some := range slices.Chunk(releases, 100) {
		s.do(stock.OpRelease, some...)
	}
	s.one(stock.OpDeduct, take(stock.OpDeduct, cell, holds+1, holds-stays))
	known := l.lose()
	known[cell] = slices.DeleteFunc(known[cell], func(e heard) bool { return e.Kind == event.KindRelease })
	l.opens()
	revoked := 0
	for _, e := range l.tell(partition(cell))[cell] {
		if e.Kind == event.KindRevoke {
			revoked++
		}
	}
	if got := l.state(cell); revoked != holds-stays || got.Balances != (stock.Balances{Held: stays, Sold: holds - stays, Total: holds}) || got.Fenced {
		t.Errorf("%d events of revocations; %+v", revoked, got)
	}
}
