package redisstock_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestOutbox follows a partition's outbox from before its first entry to after the deletion of its
// last.
func TestOutbox(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := newCell()
	p := partition(cell)
	last := func() string {
		t.Helper()
		id, err := s.OutboxLast(t.Context(), p)
		first, err2 := s.OutboxAfter(t.Context(), p, "", 1)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		want := stock.OutboxEnds{Last: id}
		if len(first) > 0 {
			want.First = first[0].ID
		}
		if all := s.OutboxEnds(t.Context()); len(all) != stock.PartitionsDefault || all[p] != want {
			t.Errorf("the ends are %v, want %v", all[p], want)
		}
		return id
	}
	if id := last(); id != "0-0" {
		t.Errorf("the last entry of a new outbox is %q, want 0-0", id)
	}
	made := []*stock.Vector{
		s.do(stock.OpAdjust, creation(cell, 10, stock.Settings{Limit: 3})),
		s.do(stock.OpReserve, take(stock.OpReserve, cell, 1, 2), take(stock.OpReserve, cell, 2, 99), take(stock.OpReserve, cell, 3, 1)),
		s.do(stock.OpDeduct, take(stock.OpDeduct, cell, 4, 1)),
	}
	var want []stock.Entry
	var ids []string
	for _, v := range made {
		want = append(want, v.Entry)
		ids = append(ids, v.Entry.ID)
	}
	entries, err := s.OutboxAfter(t.Context(), p, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("entries (-answered +stored):\n%s", diff)
	}
	if entries, err := s.OutboxAfter(t.Context(), p, ids[0], 1); err != nil || len(entries) != 1 || entries[0].ID != ids[1] {
		t.Errorf("after the first, at most one: %v (%v)", entries, err)
	}

	seq := uint64(1)
	for i, e := range entries {
		batch, err := event.Decode(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if batch.Partition != p || batch.TimeMS != made[i].TimeMS {
			t.Errorf("entry %d is of partition %d at %d", i, batch.Partition, batch.TimeMS)
		}
		for _, ev := range batch.Events {
			if err := ev.Check(); err != nil {
				t.Error(err)
			}
			if ev.Cell != cell || ev.Position != (stock.Position{Epoch: 1, Seq: seq}) {
				t.Errorf("event is of %v at %v, want seq %d", ev.Cell, ev.Position, seq)
			}
			seq++
		}
	}
	if seq != 5 {
		t.Errorf("%d events, want 4: the refused one makes none", seq-1)
	}

	stats, err := s.OutboxStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const late = 1000 // a stream's ids have the time of the append, which may be a little after TIME
	if got := stats[p]; got.Entries != 3 || got.OldestMS < made[0].TimeMS || got.OldestMS > made[0].TimeMS+late {
		t.Errorf("stats are %+v, want 3 entries since %d", got, made[0].TimeMS)
	}
	if got := stats[(p+1)%len(stats)]; got != (redisstock.OutboxStat{}) {
		t.Errorf("stats of an empty outbox are %+v", got)
	}
	settled := func() (untilMS, nowMS int64) {
		t.Helper()
		untilMS, nowMS, err := s.Persisted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return untilMS, nowMS
	}
	if until, now := settled(); until != made[0].TimeMS-1 || now < made[0].TimeMS {
		t.Errorf("settled until %d at %d, want before %d", until, now, made[0].TimeMS)
	}
	if n, err := s.OutboxDelete(t.Context(), p, append(ids, "1-1")); err != nil || n != 3 {
		t.Errorf("deleted %d (%v), want 3", n, err)
	}
	if n, err := s.OutboxDelete(t.Context(), p, nil); err != nil || n != 0 {
		t.Errorf("deleted %d (%v), want none", n, err)
	}
	if until, now := settled(); until != now {
		t.Errorf("with nothing in the outboxes settled until %d at %d", until, now)
	}
	if id := last(); id != ids[2] {
		t.Errorf("the last entry is %q, want the deleted %q", id, ids[2])
	}
}

func TestRelay(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	lease := func(owner string, ttl time.Duration) bool {
		t.Helper()
		has, err := s.RelayLease(t.Context(), 3, owner, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	if !lease("a", time.Hour) {
		t.Error("a does not get a free lease")
	}
	if !lease("a", time.Hour) {
		t.Error("a does not keep its lease")
	}
	if lease("b", time.Hour) {
		t.Error("b gets the lease that a has")
	}
	if !lease("a", time.Millisecond) {
		t.Error("a cannot shorten its lease")
	}
	for deadline := time.Now().Add(10 * time.Second); !lease("b", time.Hour); {
		if time.Now().After(deadline) {
			t.Fatal("b does not get a lease that has ended")
		}
	}

	want := func(when, want string, wantResets int64) {
		t.Helper()
		if mark, resets, err := s.RelayMark(t.Context(), 3); err != nil || mark != want || resets != wantResets {
			t.Errorf("%s: mark is %q after %d resets (%v), want %q after %d", when, mark, resets, err, want, wantResets)
		}
	}
	want("before there was one", "", 0)
	if err := s.SetRelayMark(t.Context(), 3, "17-4"); err != nil {
		t.Fatal(err)
	}
	want("set", "17-4", 0)
	for n := range int64(2) {
		if resets, err := s.ResetRelayMark(t.Context(), 3); err != nil || resets != n+1 {
			t.Errorf("reset %d is counted as %d: %v", n+1, resets, err)
		}
	}
	want("reset", "", 2)
}

func TestScan(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	const p = 9
	wantCells, wantIDs := map[stock.Cell]bool{}, map[stock.ReservationID]bool{}
	for sku := int64(1); len(wantCells) < 2000; {
		var creations []stock.Request
		for ; len(creations) < stock.VectorMax; sku++ {
			if cell := (stock.Cell{SKU: sku}); partition(cell) == p {
				r := creation(cell, 1, stock.Settings{})
				creations = append(creations, r)
				wantCells[cell], wantIDs[r.ID] = true, true
			}
		}
		if v := s.do(stock.OpAdjust, creations...); v.Err != nil {
			t.Fatal(v.Err)
		}
	}

	counts, err := s.CellCounts(t.Context())
	if err != nil || counts[p] != int64(len(wantCells)) || counts[p+1] != 0 {
		t.Errorf("%d and %d cells (%v), want %d and none", counts[p], counts[p+1], err, len(wantCells))
	}
	if n, err := s.ReservationCount(t.Context(), p); err != nil || n != int64(len(wantIDs)) {
		t.Errorf("%d records (%v), want %d", n, err, len(wantIDs))
	}
	cells, ids := map[stock.Cell]bool{}, map[stock.ReservationID]bool{}
	err = s.ScanCells(t.Context(), p, func(cell stock.Cell) error { cells[cell] = true; return nil })
	if diff := cmp.Diff(wantCells, cells); err != nil || diff != "" {
		t.Errorf("cells (-want +got), %v:\n%s", err, diff)
	}
	err = s.ScanReservations(t.Context(), p, func(id stock.ReservationID) error { ids[id] = true; return nil })
	if diff := cmp.Diff(wantIDs, ids); err != nil || diff != "" {
		t.Errorf("records (-want +got), %v:\n%s", err, diff)
	}

	enough := errors.New("enough")
	if err := s.ScanCells(t.Context(), p, func(stock.Cell) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error is %v, want that of the caller", err)
	}
}

func TestUnknownPartition(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	ctx := t.Context()
	for _, p := range []int{-1, stock.PartitionsDefault} {
		calls := map[string]func() error{
			"expire":       func() error { _, err := s.Expire(ctx, p, 1); return err },
			"forget":       func() error { _, err := s.Forget(ctx, p, 1); return err },
			"node":         func() error { _, err := s.NodeOf(p); return err },
			"scan cells":   func() error { return s.ScanCells(ctx, p, nil) },
			"scan records": func() error { return s.ScanReservations(ctx, p, nil) },
			"count":        func() error { _, err := s.ReservationCount(ctx, p); return err },
			"last":         func() error { _, err := s.OutboxLast(ctx, p); return err },
			"after":        func() error { _, err := s.OutboxAfter(ctx, p, "", 1); return err },
			"delete":       func() error { _, err := s.OutboxDelete(ctx, p, nil); return err },
			"lease":        func() error { _, err := s.RelayLease(ctx, p, "a", 1e9); return err },
			"mark":         func() error { _, _, err := s.RelayMark(ctx, p); return err },
			"reset mark":   func() error { _, err := s.ResetRelayMark(ctx, p); return err },
			"set mark":     func() error { return s.SetRelayMark(ctx, p, "1-1") },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, stock.ErrProtocol) {
				t.Errorf("%s of partition %d: error is %v, want a protocol error", name, p, err)
			}
		}
	}
	id := stock.ReservationID{0, stock.PartitionsDefault}
	if _, _, err := s.Reservations(ctx, []stock.ReservationID{id}); !errors.Is(err, stock.ErrProtocol) {
		t.Errorf("error is %v, want a protocol error", err)
	}
}

// TestBuyers looks at the hash of buyers: it has a field for as long as a user has units, in the hash
// of the pool.
func TestBuyers(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := newCell()
	cell.Pool = 12345
	if v := s.do(stock.OpAdjust, creation(cell, 100, stock.Settings{Limit: 70_000})); v.Err != nil {
		t.Fatal(v.Err)
	}
	buyers := func() map[string]string {
		t.Helper()
		all, err := s.run("HGETALL", redisstock.BuyersKey(partition(cell), 12345)).AsStrMap()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	held := s.reserve(cell, 5, 2)
	sold := s.one(stock.OpDeduct, take(stock.OpDeduct, cell, 5, 3)).Reservation
	field := string(cell.Append(nil)) + "\x00\x00\x00\x00\x00\x00\x00\x05"
	if diff := cmp.Diff(map[string]string{field: "\x00\x00\x05"}, buyers()); diff != "" {
		t.Errorf("after 2 held and 3 sold (-want +got):\n%s", diff)
	}
	s.one(stock.OpConfirm, stock.Request{ID: held.ID})
	if diff := cmp.Diff(map[string]string{field: "\x00\x00\x05"}, buyers()); diff != "" {
		t.Errorf("after confirm (-want +got):\n%s", diff)
	}
	again := s.one(stock.OpReserve, stock.Request{
		ID: stock.Identity{User: 5, Route: stock.OpReserve, Cell: cell, Key: "again"}.ID(stock.PartitionsDefault), Cell: cell, User: 5, Quantity: 4,
	}).Reservation
	s.one(stock.OpRelease, stock.Request{ID: again.ID, Cell: cell})
	if diff := cmp.Diff(map[string]string{field: "\x00\x00\x05"}, buyers()); diff != "" {
		t.Errorf("after release (-want +got):\n%s", diff)
	}

	other := s.one(stock.OpReserve, take(stock.OpReserve, cell, 6, 1)).Reservation
	s.one(stock.OpRelease, stock.Request{ID: other.ID, Cell: cell})
	if got := buyers(); len(got) != 1 {
		t.Errorf("%d buyers, want none that has no unit", len(got))
	}
	if !sold.Counted || sold.State != stock.StateConfirmed {
		t.Errorf("deduction is %+v", sold)
	}
}
