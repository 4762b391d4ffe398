package sale_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

func TestWindows(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	ctx := t.Context()
	m.must(m.Create(ctx, plan()))
	at := func(after time.Duration) time.Time { return time.UnixMilli(m.nowMS.Load()).Add(after) }
	var never time.Time

	for name, window := range map[string][2]time.Time{
		"in the past":             {at(-time.Minute), never},
		"sooner than edges learn": {at(sale.LeadTime - time.Millisecond), never},
		"closing before opening":  {at(time.Minute), at(time.Second)},
		"closing in the past":     {never, at(-time.Second)},
	} {
		if _, err := m.Open(ctx, 7, sale.Call{}, sale.Opening{At: window[0], Closes: window[1]}); !errors.Is(err, sale.ErrWindow) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Close(ctx, 7, sale.Call{}, at(time.Hour)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closing later what nobody opened: %v", err)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{At: at(time.Hour), Closes: at(2 * time.Hour)}))
	if _, err := m.Close(ctx, 7, sale.Call{}, at(time.Minute)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closing before it opens, and later: %v", err)
	}
	if _, err := m.Close(ctx, 7, sale.Call{}, time.UnixMilli(stock.TimeMaxMS+1)); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("closing at a time that a cell cannot have: %v", err)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{At: at(time.Minute), Closes: at(time.Hour)})) // sooner
	m.pass(2 * time.Minute)
	if v := m.reserve(7, 1, 1); v != stock.VerdictOK {
		t.Errorf("open: %v", v)
	}
	if _, err := m.Open(ctx, 7, sale.Call{}, sale.Opening{At: at(time.Minute)}); !errors.Is(err, sale.ErrWindow) {
		t.Errorf("another opening of an open sale: %v", err)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{Closes: at(10 * time.Minute)})) // it closes sooner
	m.pass(11 * time.Minute)
	if v := m.reserve(7, 1, 2); v != stock.VerdictClosed {
		t.Errorf("closed: %v", v)
	}
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{})) // again
	m.pass(sale.LeadTime)
	if v := m.reserve(7, 1, 3); v != stock.VerdictOK {
		t.Errorf("open again: %v", v)
	}
	if s := m.must(m.Close(ctx, 7, sale.Call{}, at(time.Minute))); s.Phase(s.NowMS) != sale.PhaseOpen {
		t.Errorf("to be closed in a minute: %+v", s.Window)
	}
	m.pass(time.Minute)
	if v := m.reserve(7, 1, 4); v != stock.VerdictClosed {
		t.Errorf("closed again: %v", v)
	}
	m.must(m.Close(ctx, 7, sale.Call{}, at(0))) // the same once more, when its time has come
	m.must(m.Open(ctx, 7, sale.Call{}, sale.Opening{}))
	m.pass(sale.LeadTime)
	for _, past := range []time.Duration{-time.Minute, 0} {
		if _, err := m.Close(ctx, 7, sale.Call{}, at(past)); !errors.Is(err, sale.ErrWindow) || !strings.Contains(err.Error(), "has passed") {
			t.Errorf("closed %v from now: %v", past, err)
		}
	}
	if s := m.must(m.Close(ctx, 7, sale.Call{}, time.Time{})); s.ClosesAtMS != s.NowMS || s.Stock[0].Cell.ClosesAtMS != s.NowMS {
		t.Errorf("closed now: %+v at %d", s.Window, s.NowMS)
	}
	if _, err := m.Open(ctx, 8, sale.Call{}, sale.Opening{}); !errors.Is(err, sale.ErrNotFound) {
		t.Errorf("another sale: %v", err)
	}
}

// A window that a cell was given behind the sale's row does not outlive the next call, though the cell
// remembers that the row's was brought to it.
func TestWindowsAreBroughtBack(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))
	m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	m.store.Edit(stock.Cell{SKU: 1, Pool: 7}, func(c *stock.CellState) { c.ClosesAtMS = 0 })
	if v := m.reserve(7, 1, 1); v != stock.VerdictOK {
		t.Fatalf("reopened behind the row: %v", v)
	}
	s := m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	if v := m.reserve(7, 1, 2); v != stock.VerdictClosed || s.Stock[0].Cell.ClosesAtMS != s.ClosesAtMS {
		t.Errorf("closed again: %v, %+v", v, s)
	}
}
