package redisstock_test

import (
	"testing"
	"time"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestLaterEpoch has a cell in a later epoch, as after a repair. All its events are of that epoch. A position of an
// earlier epoch is behind it, however high its seq is.
func TestLaterEpoch(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(10, stock.Settings{})
	const epoch = 2<<24 + 2 // in the first and in the last of its bytes
	edit(t, s.client, cell, func(value []byte) { value[epochEnd-3], value[epochEnd] = 2, 2 })
	position := func(seq uint64) stock.Position { return stock.Position{Epoch: epoch, Seq: seq} }
	seq := uint64(1)
	wantNext := func(what string, entry stock.Entry) {
		t.Helper()
		seq++
		batch, err := event.Decode(entry.Data)
		if err != nil || len(batch.Events) != 1 {
			t.Fatalf("%s: %d events (%v), want 1", what, len(batch.Events), err)
		}
		if got := batch.Events[0].Position; got != position(seq) {
			t.Errorf("%s: event is of %+v, want %+v", what, got, position(seq))
		}
		if got := s.state(cell).Position; got != position(seq) {
			t.Errorf("%s: cell is at %+v, want %+v", what, got, position(seq))
		}
	}
	do := func(op stock.Op, request stock.Request) stock.Reservation {
		t.Helper()
		v := s.do(op, request)
		if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
			t.Fatalf("%v: %v (%v), want ok", op, v.Outcomes, v.Err)
		}
		wantNext(op.String(), v.Entry)
		return v.Outcomes[0].Reservation
	}
	reserve := func(user int64, fence stock.Position) stock.Request {
		request := take(stock.OpReserve, cell, user, 1)
		request.Fence = fence
		return request
	}

	held := do(stock.OpReserve, reserve(1, stock.Position{Epoch: epoch - 1, Seq: 9}))
	do(stock.OpConfirm, stock.Request{ID: held.ID})
	held = do(stock.OpReserve, reserve(2, position(seq)))
	do(stock.OpRelease, stock.Request{ID: held.ID, Cell: cell})
	do(stock.OpDeduct, take(stock.OpDeduct, cell, 3, 1))
	do(stock.OpAdjust, adjustment(cell, "more", stock.Adjustment{
		Delta: 1, Fields: stock.FieldHold, Settings: stock.Settings{Hold: time.Millisecond},
	}))
	s.waitUntil(do(stock.OpReserve, reserve(4, position(seq))).DeadlineMS)
	sweep, err := s.Expire(t.Context(), partition(cell), 10)
	if err != nil || len(sweep.Entries) != 1 {
		t.Fatalf("expire: %d entries (%v), want 1", len(sweep.Entries), err)
	}
	wantNext("expire", sweep.Entries[0])

	if got := s.one(stock.OpReserve, reserve(5, position(seq+1))).Verdict; got != stock.VerdictFenced {
		t.Errorf("behind a position of its epoch the cell is %v, want fenced", got)
	}
	old := take(stock.OpReserve, s.load(10, stock.Settings{}), 1, 1)
	old.Fence = stock.Position{Epoch: 2}
	if got := s.one(stock.OpReserve, old).Verdict; got != stock.VerdictFenced {
		t.Errorf("behind a position of a later epoch the cell is %v, want fenced", got)
	}
}
