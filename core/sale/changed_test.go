package sale_test

import (
	"errors"
	"testing"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// windows is how often the window of sale 7 was written down.
func (m *market) windows() (n int) {
	m.t.Helper()
	if err := m.db.QueryRowContext(m.t.Context(), "SELECT windows FROM sales WHERE sale_id = 7").Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

func (m *market) keys() (n int) {
	m.t.Helper()
	if err := m.db.QueryRowContext(m.t.Context(), "SELECT COUNT(*) FROM sale_keys").Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

// Each call tells whether it has changed anything, and one that has not leaves window and cells as they are: it writes
// down its key, and no more.
func TestACallTellsWhetherItChanged(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	ctx := t.Context()
	cell := stock.Cell{SKU: 1, Pool: 7}
	seq := func() uint64 {
		t.Helper()
		states, _, err := m.store.Cells(ctx, []stock.Cell{cell})
		if err != nil {
			t.Fatal(err)
		}
		return states[0].Seq
	}
	at := func(after time.Duration) time.Time { return time.UnixMilli(1_000_000).Add(after) }
	create := func(sale.Call) (sale.Sale, error) { return m.Create(ctx, plan()) }
	open := func(by sale.Call) (sale.Sale, error) { return m.Open(ctx, 7, by, sale.Opening{At: at(time.Hour)}) }
	closing := func(by sale.Call) (sale.Sale, error) { return m.Close(ctx, 7, by, time.Time{}) }
	empty := func(by sale.Call) (sale.Sale, error) { return m.Empty(ctx, 7, by) }
	fill := func(by sale.Call) (sale.Sale, error) { return m.Fill(ctx, 7, by) }
	for i, c := range []struct {
		name              string
		do                func(sale.Call) (sale.Sale, error)
		key               string
		changed, replayed bool
	}{
		{"create", create, "", true, false},
		{"create again", create, "", false, true},
		{"fill what is full", fill, "f", false, false},
		{"open", open, "o", true, false},
		{"open again", open, "o", false, true},
		{"open as it is", open, "p", false, false},
		{"open as it is, again", open, "p", false, true},
		{"open as it is, without a key", open, "", false, false},
		{"close", closing, "c", true, false},
		{"close what is closed", closing, "d", false, false},
		{"empty", empty, "e", true, false},
		{"empty what is empty", empty, "g", false, false},
		{"fill", fill, "h", true, false},
		{"fill again", fill, "h", false, true},
	} {
		var windows, keys int
		var before uint64
		if i > 0 {
			windows, keys, before = m.windows(), m.keys(), seq()
		}
		s := m.must(c.do(sale.Call{User: 1, Key: c.key}))
		if s.Changed != c.changed || s.Replayed != c.replayed {
			t.Errorf("%s: changed %v, replayed %v", c.name, s.Changed, s.Replayed)
		}
		if c.changed {
			continue
		}
		if m.windows() != windows || seq() != before {
			t.Errorf("%s: it changes nothing, and writes window %d after %d, event %d after %d", c.name, m.windows(), windows, seq(), before)
		}
		if wrote := m.keys() - keys; (wrote == 1) != (c.key != "" && !c.replayed) {
			t.Errorf("%s: %d keys are written down", c.name, wrote)
		}
	}
	if _, err := m.Open(ctx, 7, sale.Call{User: 1, Key: "p"}, sale.Opening{}); !errors.Is(err, sale.ErrOtherCall) {
		t.Errorf("another opening under a key that changed nothing: %v", err)
	}
}

// A call that only brings a cell what it lacks has changed something.
func TestWhatBringsAWindowBackChanges(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))
	m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	m.store.Edit(stock.Cell{SKU: 1, Pool: 7}, func(c *stock.CellState) { c.ClosesAtMS = 0 })
	for _, changed := range []bool{true, false} {
		if s := m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{})); s.Changed != changed {
			t.Errorf("changed: %v, want %v", s.Changed, changed)
		}
	}
}
