package redisstock_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// refusal is a request that is refused, and how it comes to that.
type refusal struct {
	op      stock.Op
	verdict stock.Verdict
	// request prepares the stock and returns the request.
	request func(s *shop) stock.Request
	// shuts tells that the refusal sets a flag of the cell, and changes nothing else.
	shuts bool
}

// taking is a request to take from a cell of some units and settings.
func taking(op stock.Op, units int64, settings stock.Settings, change func(s *shop, r *stock.Request)) func(*shop) stock.Request {
	return func(s *shop) stock.Request {
		r := take(op, s.load(units, settings), 1, 2)
		if change != nil {
			change(s, &r)
		}
		return r
	}
}

// settling is a request about a held reservation of user 1.
func settling(change func(s *shop, r *stock.Request)) func(*shop) stock.Request {
	return func(s *shop) stock.Request {
		held := s.reserve(s.load(10, stock.Settings{Limit: 5}), 1, 2)
		r := stock.Request{ID: held.ID, Cell: held.Cell, User: 1}
		change(s, &r)
		return r
	}
}

// extending asks for a ms more of a hold of a cell with a bound.
func extending(bound time.Duration, change func(s *shop, r *stock.Request)) func(*shop) stock.Request {
	return func(s *shop) stock.Request {
		held := s.reserve(s.load(10, stock.Settings{Limit: 5, ExtendMax: bound}), 1, 2)
		r := stock.Request{ID: held.ID, Cell: held.Cell, User: 1, DeadlineMS: held.DeadlineMS + 1}
		if change != nil {
			change(s, &r)
		}
		return r
	}
}

// returning gives back units of a cell. The cell has sold 3.
func returning(quantity int64, change func(s *shop, r *stock.Request)) func(*shop) stock.Request {
	return func(s *shop) stock.Request {
		cell := s.load(10, stock.Settings{Limit: 5})
		s.one(stock.OpDeduct, take(stock.OpDeduct, cell, 1, 3))
		r := comesBack(cell, 1, quantity)
		if change != nil {
			change(s, &r)
		}
		return r
	}
}

func unsound(s *shop, r *stock.Request) {
	edit(s, s.client, r.Cell, func(value []byte) { value[heldEnd]++ })
}

func fenced(s *shop, r *stock.Request) {
	edit(s, s.client, r.Cell, func(value []byte) { value[flagsAt] |= 2 })
}

func seenAhead(_ *shop, r *stock.Request) { r.Fence = stock.Position{Epoch: 1, Seq: 9} }

func refusals() map[string]refusal {
	hour := time.Now().UnixMilli() + time.Hour.Milliseconds()
	cases := map[string]refusal{
		"extend unknown": {stock.OpExtend, stock.VerdictUnknownReservation, extending(time.Hour, func(_ *shop, r *stock.Request) { r.ID[9]++ }), false},
		"extend nothing": {stock.OpExtend, stock.VerdictLimitReached, extending(0, nil), false},
		"extend enough": {stock.OpExtend, stock.VerdictReplayed, extending(time.Hour, func(s *shop, r *stock.Request) {
			r.DeadlineMS--
		}), false},
		"extend again": {stock.OpExtend, stock.VerdictReplayed, extending(time.Hour, func(s *shop, r *stock.Request) {
			s.one(stock.OpExtend, *r)
		}), false},
		"extend beyond": {stock.OpExtend, stock.VerdictReplayed, extending(time.Millisecond, func(s *shop, r *stock.Request) {
			s.one(stock.OpExtend, *r)
			r.DeadlineMS++
		}), false},
		"extend another's": {stock.OpExtend, stock.VerdictWrongUser, extending(time.Hour, func(_ *shop, r *stock.Request) { r.User = 2 }), false},
		"extend ended":     {stock.OpExtend, stock.VerdictWrongState, extending(time.Hour, func(s *shop, r *stock.Request) { s.one(stock.OpConfirm, *r) }), false},
		"extend fenced":    {stock.OpExtend, stock.VerdictFenced, extending(time.Hour, fenced), false},
		"extend unsound":   {stock.OpExtend, stock.VerdictBreached, extending(time.Hour, unsound), true},

		"return nothing": {stock.OpReturn, stock.VerdictNotLoaded, func(*shop) stock.Request { return comesBack(newCell(), 1, 1) }, false},
		"return unsold":  {stock.OpReturn, stock.VerdictWrongState, returning(4, nil), false},
		"return fenced":  {stock.OpReturn, stock.VerdictFenced, returning(1, fenced), false},
		"return unsound": {stock.OpReturn, stock.VerdictBreached, returning(1, unsound), true},
		"return again":   {stock.OpReturn, stock.VerdictReplayed, returning(1, func(s *shop, r *stock.Request) { s.one(stock.OpReturn, *r) }), false},
		"return otherwise": {stock.OpReturn, stock.VerdictMismatch, returning(1, func(s *shop, r *stock.Request) {
			s.one(stock.OpReturn, *r)
			r.Fingerprint++
		}), false},

		"confirm unknown": {stock.OpConfirm, stock.VerdictUnknownReservation, settling(func(_ *shop, r *stock.Request) { r.ID[9]++ }), false},
		"release unknown": {stock.OpRelease, stock.VerdictUnknownReservation, settling(func(_ *shop, r *stock.Request) { r.ID[9]++ }), false},
		"adjust fenced":   {stock.OpAdjust, stock.VerdictFenced, changing(stock.Adjustment{Delta: 1}, fenced), false},
		"adjust unsound":  {stock.OpAdjust, stock.VerdictBreached, changing(stock.Adjustment{Delta: 1}, unsound), true},
		"adjust below 0":  {stock.OpAdjust, stock.VerdictSoldOut, changing(stock.Adjustment{Delta: -11}, nil), false},
		"create again":    {stock.OpAdjust, stock.VerdictWrongState, changing(stock.Adjustment{Create: true, Settings: stock.Settings{Hold: 1e9}}, nil), false},
		"adjust nothing": {stock.OpAdjust, stock.VerdictNotLoaded, func(*shop) stock.Request {
			return adjustment(newCell(), "key", stock.Adjustment{Delta: 1})
		}, false},
		"adjust replayed": {stock.OpAdjust, stock.VerdictReplayed, changing(stock.Adjustment{Delta: 1}, func(s *shop, r *stock.Request) {
			s.one(stock.OpAdjust, *r)
		}), false},
		"adjust mismatch": {stock.OpAdjust, stock.VerdictMismatch, changing(stock.Adjustment{Delta: 1}, func(s *shop, r *stock.Request) {
			s.one(stock.OpAdjust, *r)
			r.Fingerprint++
		}), false},
	}
	for _, op := range []stock.Op{stock.OpReserve, stock.OpDeduct} {
		for name, c := range map[string]refusal{
			"sold out": {op, stock.VerdictSoldOut, taking(op, 1, stock.Settings{}, nil), false},
			"limit":    {op, stock.VerdictLimitReached, taking(op, 9, stock.Settings{Limit: 1}, nil), false},
			"not open": {op, stock.VerdictNotOpen, taking(op, 9, stock.Settings{OpensAtMS: hour}, nil), false},
			"closed":   {op, stock.VerdictClosed, taking(op, 9, stock.Settings{ClosesAtMS: 1}, nil), false},
			"frozen":   {op, stock.VerdictFrozen, taking(op, 9, stock.Settings{Frozen: true}, nil), false},
			"unsound":  {op, stock.VerdictBreached, taking(op, 9, stock.Settings{}, unsound), true},
			"other version": {op, stock.VerdictBreached, taking(op, 9, stock.Settings{}, func(s *shop, r *stock.Request) {
				edit(s, s.client, r.Cell, func(value []byte) { value[0]++ })
			}), false},
			"fenced":       {op, stock.VerdictFenced, taking(op, 9, stock.Settings{}, fenced), false},
			"lost effects": {op, stock.VerdictFenced, taking(op, 9, stock.Settings{}, seenAhead), true},
			"lost cell": {op, stock.VerdictFenced, func(s *shop) stock.Request {
				r := take(op, newCell(), 1, 1)
				seenAhead(s, &r)
				return r
			}, false},
			"not loaded": {op, stock.VerdictNotLoaded, func(*shop) stock.Request { return take(op, newCell(), 1, 1) }, false},
			"replayed":   {op, stock.VerdictReplayed, taking(op, 9, stock.Settings{Limit: 4}, func(s *shop, r *stock.Request) { s.one(op, *r) }), false},
			"mismatch": {op, stock.VerdictMismatch, taking(op, 9, stock.Settings{Limit: 4}, func(s *shop, r *stock.Request) {
				s.one(op, *r)
				r.Fingerprint++
			}), false},
		} {
			cases[op.String()+" "+name] = c
		}
	}
	for _, op := range []stock.Op{stock.OpConfirm, stock.OpRelease} {
		other := map[stock.Op]stock.Op{stock.OpConfirm: stock.OpRelease, stock.OpRelease: stock.OpConfirm}[op]
		for name, c := range map[string]refusal{
			"wrong user":  {op, stock.VerdictWrongUser, settling(func(_ *shop, r *stock.Request) { r.User = 2 }), false},
			"replayed":    {op, stock.VerdictReplayed, settling(func(s *shop, r *stock.Request) { s.one(op, *r) }), false},
			"wrong state": {op, stock.VerdictWrongState, settling(func(s *shop, r *stock.Request) { s.one(other, *r) }), false},
			"fenced":      {op, stock.VerdictFenced, settling(fenced), false},
			"unsound":     {op, stock.VerdictBreached, settling(unsound), true},
			"lost cell": {op, stock.VerdictFenced, settling(func(s *shop, r *stock.Request) {
				s.must("HDEL", redisstock.CellsKey(partition(r.Cell)), string(r.Cell.Append(nil)))
			}), false},
			"fewer held than reserved": {op, stock.VerdictBreached, settling(func(s *shop, r *stock.Request) {
				edit(s, s.client, r.Cell, func(value []byte) { value[heldEnd]--; value[availEnd]++ })
			}), true},
		} {
			cases[op.String()+" "+name] = c
		}
	}
	return cases
}

// changing is an adjustment of a cell of 10 units.
func changing(a stock.Adjustment, change func(s *shop, r *stock.Request)) func(*shop) stock.Request {
	return func(s *shop) stock.Request {
		r := adjustment(s.load(10, stock.Settings{}), "key", a)
		if change != nil {
			change(s, &r)
		}
		return r
	}
}

// TestRefusalChangesNothing compares all that a partition's keys hold before and after a refusal.
func TestRefusalChangesNothing(t *testing.T) {
	t.Parallel()
	client := onServer(t)
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, client, redisstock.Config{})
			r := c.request(s)
			before, value := s.dump(r.ID.Partition()), s.unshut(r.Cell)
			v := s.do(c.op, r)
			if v.Err != nil {
				t.Fatal(v.Err)
			}
			if got := v.Outcomes[0].Verdict; got != c.verdict {
				t.Fatalf("verdict is %v, want %v", got, c.verdict)
			}
			if v.Entry.ID != "" {
				t.Errorf("it made the outbox entry %s", v.Entry.ID)
			}
			after := s.dump(r.ID.Partition())
			if c.shuts {
				if state := s.state(r.Cell); !state.Fenced && !state.Breached {
					t.Error("the cell is not shut")
				}
				if s.unshut(r.Cell) != value {
					t.Error("more than the flags of the cell has changed")
				}
				cells := redisstock.CellsKey(r.ID.Partition())
				delete(before, cells)
				delete(after, cells)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the refusal changed something (-before +after):\n%s", diff)
			}
		})
	}
}

// TestBackpressure fills the outbox: nothing is taken any more, but what is held can be settled, and
// stock can be changed.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{OutboxEntriesMax: 3})
	cell := s.load(10, stock.Settings{})
	first, second := s.reserve(cell, 1, 1), s.reserve(cell, 2, 1)

	before := s.dump(partition(cell))
	for _, op := range []stock.Op{stock.OpReserve, stock.OpDeduct} {
		if got := s.one(op, take(op, cell, 3, 1)).Verdict; got != stock.VerdictBackpressure {
			t.Errorf("%v: verdict is %v, want backpressure", op, got)
		}
	}
	if diff := cmp.Diff(before, s.dump(partition(cell))); diff != "" {
		t.Errorf("backpressure changed something (-before +after):\n%s", diff)
	}
	for op, id := range map[stock.Op]stock.ReservationID{stock.OpConfirm: first.ID, stock.OpRelease: second.ID} {
		if got := s.one(op, stock.Request{ID: id, Cell: cell}).Verdict; got != stock.VerdictOK {
			t.Errorf("%v: verdict is %v, want ok", op, got)
		}
	}
	if got := s.one(stock.OpAdjust, adjustment(cell, "more", stock.Adjustment{Delta: 1})).Verdict; got != stock.VerdictOK {
		t.Errorf("adjust: verdict is %v, want ok", got)
	}
}
