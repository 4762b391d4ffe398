package sale_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// moves has the acts of an operator on a sale.
var moves = map[string]func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error){
	"create": func(ctx context.Context, m *market, _ sale.Call) (sale.Sale, error) { return m.Create(ctx, plan()) },
	"open": func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) {
		return m.Open(ctx, 7, by, sale.Opening{})
	},
	"open in an hour": func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) {
		return m.Open(ctx, 7, by, sale.Opening{At: m.in(time.Hour), For: time.Hour})
	},
	"close": func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) {
		return m.Close(ctx, 7, by, time.Time{})
	},
	"close later": func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) {
		return m.Close(ctx, 7, by, m.in(90*time.Minute))
	},
	"close never": func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) {
		return m.Close(ctx, 7, by, sale.Never)
	},
	"fill":  func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) { return m.Fill(ctx, 7, by) },
	"empty": func(ctx context.Context, m *market, by sale.Call) (sale.Sale, error) { return m.Empty(ctx, 7, by) },
}

func (m *market) in(d time.Duration) time.Time { return time.UnixMilli(m.nowMS.Load()).Add(d) }

// do makes a move that has to succeed.
func (m *market) do(names ...string) (s sale.Sale) {
	m.t.Helper()
	for _, name := range names {
		var err error
		if s, err = moves[name](m.t.Context(), m, sale.Call{}); err != nil {
			m.t.Fatalf("%s: %v", name, err)
		}
	}
	return s
}

// TestMovesOfALife makes each move in each state that a sale can be in: docs/sales.md has the same table.
func TestMovesOfALife(t *testing.T) {
	t.Parallel()
	states := map[string]func(m *market){
		"not filled": func(m *market) {
			broken := sale.NewDesk(&cutOff{Store: m.store, after: 1}, m.db, retention)
			if _, err := broken.Create(t.Context(), plan()); err == nil {
				t.Fatal("not cut off")
			}
		},
		"planned":   func(m *market) { m.do("create") },
		"scheduled": func(m *market) { m.do("create", "open in an hour") },
		"open": func(m *market) {
			m.do("create", "open")
			m.pass(sale.LeadTime)
		},
		"closed": func(m *market) {
			m.do("create", "open")
			m.pass(time.Hour)
			m.do("close")
		},
		"cancelled": func(m *market) { m.do("create", "open in an hour", "close") },
		"emptied":   func(m *market) { m.do("create", "close", "empty") },
	}
	const (
		nothing   = "nothing changes"
		notFilled = "not filled"
		notClosed = "not closed"
		window    = "refused for its window"
	)
	want := map[string]map[string]string{
		"not filled": {
			"create": "planned", "open": notFilled, "open in an hour": notFilled, "close": notFilled + ", closed",
			"close later": window, "close never": nothing, "fill": "planned", "empty": notClosed,
		},
		"planned": {
			"create": nothing, "open": "scheduled", "open in an hour": "scheduled for later", "close": "closed",
			"close later": window, "close never": nothing, "fill": nothing, "empty": notClosed,
		},
		"scheduled": {
			"create": nothing, "open": "scheduled", "open in an hour": nothing, "close": "closed",
			"close later": "scheduled for later", "close never": "scheduled for later", "fill": nothing, "empty": notClosed,
		},
		"open": {
			"create": nothing, "open": nothing, "open in an hour": window, "close": "closed",
			"close later": "open", "close never": nothing, "fill": nothing, "empty": notClosed,
		},
		"closed": {
			"create": nothing, "open": "scheduled", "open in an hour": "scheduled for later", "close": nothing,
			"close later": window, "close never": window, "fill": nothing, "empty": "emptied",
		},
		"cancelled": {
			"create": nothing, "open": "scheduled", "open in an hour": "scheduled for later", "close": nothing,
			"close later": window, "close never": window, "fill": nothing, "empty": "emptied",
		},
		"emptied": {
			"create": nothing, "open": notFilled, "open in an hour": notFilled, "close": nothing,
			"close later": window, "close never": window, "fill": "closed", "empty": nothing,
		},
	}
	stateOf := func(s sale.Sale) string {
		phase := string(s.Phase(s.NowMS))
		switch {
		case s.Phase(s.NowMS) == sale.PhaseClosed && !s.Filled && s.Stock[0].Settled:
			return "emptied"
		case !s.Filled:
			return notFilled + ", " + phase
		case s.Phase(s.NowMS) == sale.PhaseScheduled && s.OpensAtMS-s.NowMS > sale.LeadTime.Milliseconds():
			return "scheduled for later"
		}
		return phase
	}
	m := newMarket(t, nil)
	for _, state := range slices.Sorted(maps.Keys(states)) {
		for _, move := range slices.Sorted(maps.Keys(moves)) {
			m.reset(map[int64]int64{1: 100, 2: 100})
			states[state](m)
			before := m.must(m.Show(t.Context(), 7))
			rehearsed, rehearsedErr := moves[move](t.Context(), &market{Desk: m.Rehearsal(), t: t, store: m.store, nowMS: m.nowMS}, sale.Call{User: 1, Key: "a"})
			if after := m.must(m.Show(t.Context(), 7)); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%s: rehearsing to %s changed it to %+v", state, move, after)
			}
			after, err := moves[move](t.Context(), m, sale.Call{User: 1, Key: "a"})
			got := stateOf(after)
			switch {
			case errors.Is(err, sale.ErrNotFilled):
				got = notFilled
			case errors.Is(err, sale.ErrNotClosed):
				got = notClosed
			case errors.Is(err, sale.ErrWindow):
				got = window
			case err != nil:
				got = err.Error()
			case after.Window == before.Window && after.Filled == before.Filled:
				got = nothing
			}
			if got != want[state][move] {
				t.Errorf("%s: to %s gives %q, want %q", state, move, got, want[state][move])
			}
			if (err == nil) != (rehearsedErr == nil) || err == nil &&
				(rehearsed.Window != after.Window || rehearsed.Filled != after.Filled || rehearsed.Stock[0].Moved != after.Stock[0].Moved ||
					state != "not filled" && rehearsed.Stock[0].Cell.Avail != after.Stock[0].Cell.Avail) { // some is in transit there
				t.Errorf("%s: to %s was rehearsed as %+v, %v, and gave %+v, %v", state, move, rehearsed, rehearsedErr, after, err)
			}
			if total := m.avail(1, 0) + m.avail(1, 7); total != 100 {
				t.Errorf("%s: to %s leaves %d units of 100", state, move, total)
			}
			if now := m.must(m.Show(t.Context(), 7)); err != nil && fmt.Sprint(now) != fmt.Sprint(before) {
				t.Errorf("%s: to %s was refused and changed it to %+v", state, move, now)
			}
			if err != nil || move == "create" {
				continue
			}
			for other := range moves { // whatever happens meanwhile, the same call is made once
				if _, err := moves[other](t.Context(), m, sale.Call{User: 1, Key: "b"}); err == nil {
					break
				}
			}
			now := m.must(m.Show(t.Context(), 7))
			again, err := moves[move](t.Context(), m, sale.Call{User: 1, Key: "a"})
			if err != nil && !errors.Is(err, sale.ErrOtherCall) || err == nil && !again.Replayed || again.Replayed && again.Window != now.Window {
				t.Errorf("%s: to %s, again: %+v, %v", state, move, again, err)
			}
		}
	}
}

// A sale that was closed before it opened keeps what was planned, and its cells tell buyers that it is closed.
func TestClosedBeforeItOpened(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create")
	opens := m.in(time.Hour).UnixMilli()
	m.do("open in an hour")
	m.pass(time.Minute)
	s := m.do("close")
	if s.OpensAtMS != opens || s.ClosesAtMS != s.NowMS || !s.Stock[0].WindowSet {
		t.Errorf("closed: %+v, %+v", s.Window, s.Stock[0])
	}
	if v := m.reserve(7, 1, 1); v != stock.VerdictClosed {
		t.Errorf("reserve: %v", v)
	}
	m.pass(2 * time.Hour) // its hour has come, and it stays closed
	if v := m.reserve(7, 1, 2); v != stock.VerdictClosed {
		t.Errorf("reserve at the time that was planned: %v", v)
	}
	if s = m.must(m.Show(t.Context(), 7)); s.Phase(s.NowMS) != sale.PhaseClosed {
		t.Errorf("at the time that was planned: %+v", s.Window)
	}
	m.do("open")
	m.pass(sale.LeadTime)
	if v := m.reserve(7, 1, 3); v != stock.VerdictOK {
		t.Errorf("opened after all: %v", v)
	}
}

// The bounds of a window: what is not given stays, never takes a closing away, and a length counts from
// the opening.
func TestWindowBounds(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	ctx := t.Context()
	m.do("create")
	check := func(what string, s sale.Sale, opens, closes int64) {
		t.Helper()
		if s.OpensAtMS != opens || s.ClosesAtMS != closes {
			t.Errorf("%s: %+v, want %d to %d", what, s.Window, opens, closes)
		}
	}
	soon := m.in(sale.LeadTime).UnixMilli()
	at, end := m.in(time.Hour).UnixMilli(), m.in(2*time.Hour).UnixMilli()
	check("in an hour, for one", m.do("open in an hour"), at, end)
	if _, err := m.Close(ctx, 7, sale.Call{}, time.UnixMilli(at)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closed at its opening: %v", err)
	}
	check("brought forward", m.do("open"), soon, end)
	m.pass(time.Second)
	check("once more, within the lead time", m.do("open"), soon, end)
	check("open until it is closed", m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{Closes: sale.Never})), soon, 0)
	m.pass(time.Minute)
	check("an open sale for an hour from its opening", m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{For: time.Hour})), soon, soon+time.Hour.Milliseconds())
	check("nothing", m.do("open"), soon, soon+time.Hour.Milliseconds())
	check("the closing taken away", m.do("close never"), soon, 0)
}

// Emptying and filling a sale leave sold and held units alone.
func TestEmptiedAndFilledAgain(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create", "open")
	m.pass(sale.LeadTime)
	for user := range int64(3) {
		if v := m.reserve(7, 1, user+1); v != stock.VerdictOK {
			t.Fatal(v)
		}
	}
	s := m.do("close", "empty")
	if s.Filled || s.Stock[0].Moved != 3 || m.avail(1, 7) != 0 || m.avail(1, 0) != 97 {
		t.Errorf("emptied: %+v", s)
	}
	if s = m.do("fill"); !s.Filled || s.Stock[0].Moved != 50 || m.avail(1, 7) != 47 || m.avail(1, 0) != 50 {
		t.Errorf("filled again: %+v", s)
	}
	m.do("open")
	m.pass(sale.LeadTime)
	if v := m.reserve(7, 1, 9); v != stock.VerdictOK {
		t.Errorf("open again: %v", v)
	}

	m.do("close", "empty")
	m.store.Edit(stock.Cell{SKU: 1}, func(c *stock.CellState) { c.Avail, c.Total = 10, 10 })
	_, err := m.Fill(t.Context(), 7, sale.Call{})
	if !errors.Is(err, sale.ErrShort) || !strings.Contains(err.Error(), "SKU 1: not enough stock: 10 units are available in normal stock, not 46") {
		t.Errorf("filled with too little: %v", err)
	}
	if s := m.must(m.Show(t.Context(), 7)); s.Filled || m.avail(2, 7) != 0 {
		t.Errorf("the fill that was refused moved something: %+v", s)
	}
}

// Units that come back to a sale that is over and emptied go on to normal stock when it is emptied again, as often as they come.
func TestReturnsGoOnToNormalStock(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create", "open")
	m.pass(sale.LeadTime)
	cell := stock.Cell{SKU: 1, Pool: 7}
	do := func(op stock.Op, user int64) {
		t.Helper()
		d := stock.DoAll(t.Context(), m.store, op, []stock.Request{{
			ID: stock.Identity{User: user, Route: op, Cell: cell, Key: "k"}.ID(partitions), Cell: cell, User: user, Quantity: 1, Reason: "did not fit",
		}})[0]
		if d.Err != nil || d.Verdict != stock.VerdictOK {
			t.Fatalf("%v: %v, %v", op, d.Verdict, d.Err)
		}
	}
	for user := int64(1); user <= 3; user++ {
		do(stock.OpDeduct, user)
	}
	m.do("close", "empty")
	for user := int64(1); user <= 3; user++ {
		do(stock.OpReturn, user)
		if m.avail(1, 7) != 1 {
			t.Errorf("%d units are free in the sale after a return", m.avail(1, 7))
		}
		s := m.must(m.Empty(t.Context(), 7, sale.Call{User: 1, Key: fmt.Sprint("after return ", user)}))
		if m.avail(1, 7) != 0 || m.avail(1, 0) != 97+user || s.Stock[0].Moved != 3-user {
			t.Errorf("emptied again after %d returns: %d and %d units, %+v", user, m.avail(1, 7), m.avail(1, 0), s.Stock[0])
		}
	}
	if s := m.must(m.Empty(t.Context(), 7, sale.Call{})); m.avail(1, 0) != 100 || s.Stock[0].Moved != 0 {
		t.Errorf("at the end: %d units, %+v", m.avail(1, 0), s.Stock[0])
	}
}

// While one desk opens a sale, another one empties it: one of the two stops.
func TestEmptiedWhileItIsOpened(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create", "close")
	for _, c := range []struct {
		name  string
		cells int64 // after so many readings of cells
		do    string
		by    string
	}{
		{"emptied while it is opened", 1, "open", "empty"},
		{"opened while it is emptied", 4, "empty", "open"},
	} {
		store := &interrupted{Store: m.store, meanwhile: func() { m.do(c.by) }}
		store.cells.Store(c.cells)
		other := &market{Desk: sale.NewDesk(store, m.db, retention), t: t, nowMS: m.nowMS}
		if _, err := moves[c.do](t.Context(), other, sale.Call{}); !errors.Is(err, sale.ErrOverlap) {
			t.Errorf("%s: %v", c.name, err)
		}
		s := m.must(m.Show(t.Context(), 7))
		if open := s.Phase(s.NowMS) != sale.PhaseClosed; open && (!s.Filled || m.avail(1, 7) != 50) {
			t.Errorf("%s: it is open without its stock: %+v", c.name, s)
		}
		if c.by == "empty" {
			m.do("fill")
		}
	}
}

// While one desk opens a sale, another one has begun to empty it, and nobody knows what has left: it stays closed.
func TestOpenedWhileUnitsAreUnderWay(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create", "close")
	store := &interrupted{Store: m.store, meanwhile: func() {
		if _, err := sale.NewDesk(&cutOff{Store: m.store}, m.db, retention).Empty(t.Context(), 7, sale.Call{}); !errors.Is(err, stock.ErrUnknown) {
			t.Errorf("emptied without an answer: %v", err)
		}
	}}
	store.cells.Store(1)
	if _, err := sale.NewDesk(store, m.db, retention).Open(t.Context(), 7, sale.Call{}, sale.Opening{}); !errors.Is(err, sale.ErrOverlap) {
		t.Errorf("opened meanwhile: %v", err)
	}
	if s := m.must(m.Show(t.Context(), 7)); s.Phase(s.NowMS) != sale.PhaseClosed {
		t.Errorf("it is %s", s.Phase(s.NowMS))
	}
	m.do("empty", "fill", "open")
}

// A move of many items comes to the same wherever it is cut off.
func TestFillIsResumable(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create", "close")
	for _, move := range []string{"empty", "fill"} {
		for _, lost := range []bool{false, true} {
			for after := int64(0); ; after++ {
				other := &market{
					Desk: sale.NewDesk(&cutOff{Store: m.store, after: after, lost: lost}, m.db, retention), t: t, nowMS: m.nowMS,
				}
				by := sale.Call{User: 1, Key: fmt.Sprint(move, lost, after)}
				_, err := moves[move](t.Context(), other, by)
				s := m.must(moves[move](t.Context(), m, by))
				if s.Filled != (move == "fill") || s.Replayed != (err == nil) || m.avail(1, 0)+m.avail(1, 7) != 100 {
					t.Errorf("%s, cut after %d calls, lost %v: %+v", move, after, lost, s)
				}
				m.do(map[string]string{"empty": "fill", "fill": "empty"}[move])
				if err == nil {
					break // it needs no more calls than that
				}
			}
		}
		m.do(move) // the next one starts from there
	}
}

// slow fails the first of so many calls, for want of an answer.
type slow struct {
	stock.Store
	failing atomic.Int64
}

func (s *slow) Do(ctx context.Context, vectors ...*stock.Vector) {
	s.Store.Do(ctx, vectors...)
	if s.failing.Add(-1) >= 0 {
		for _, v := range vectors {
			v.Err = stock.ErrUnknown
		}
	}
}

// One call that is not answered in time does not fail a sale of many.
func TestASlowCallIsRepeated(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	store := &slow{Store: m.store}
	store.failing.Store(2)
	m.must(sale.NewDesk(store, m.db, retention).Create(t.Context(), plan()))
	store.failing.Store(2)
	m.must(sale.NewDesk(store, m.db, retention).Close(t.Context(), 7, sale.Call{}, time.Time{}))
	store.failing.Store(2)
	m.must(sale.NewDesk(store, m.db, retention).Empty(t.Context(), 7, sale.Call{}))
	if m.avail(1, 0) != 100 || m.avail(2, 0) != 100 {
		t.Errorf("%d and %d units came back", m.avail(1, 0), m.avail(2, 0))
	}
}

// An error of many SKUs names some and counts the rest.
func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	m := newMarket(t, nil)
	p := plan()
	p.Items = nil
	for sku := range int64(sale.ItemsMax) {
		p.Items = append(p.Items, sale.Allotment{SKU: sku + 1, Quantity: 1})
	}
	_, err := m.Create(t.Context(), p)
	if lines := strings.Count(fmt.Sprint(err), "\n"); !errors.Is(err, sale.ErrNotLoaded) || lines != 20 || !strings.Contains(err.Error(), "and 9980 SKUs more") {
		t.Errorf("%d lines: %v", lines+1, err)
	}
}
