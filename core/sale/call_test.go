package sale_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// A call that comes again changes nothing, however much has happened to the sale since.
func TestACallIsMadeOnce(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	ctx := t.Context()
	m.must(m.Create(ctx, plan()))
	at := func(after time.Duration) time.Time { return time.UnixMilli(1_000_000).Add(after) }
	open := func(key string, opens time.Time) (sale.Sale, error) {
		return m.Open(ctx, 7, sale.Call{User: 1, Key: key}, sale.Opening{At: opens})
	}
	closing := func(key string) (sale.Sale, error) {
		return m.Close(ctx, 7, sale.Call{User: 1, Key: key}, time.Time{})
	}
	again := func(what string, want sale.Phase, s sale.Sale, err error) {
		t.Helper()
		if m.must(s, err); !s.Replayed || s.Phase(s.NowMS) != want {
			t.Errorf("%s again: replayed %v, %s", what, s.Replayed, s.Phase(s.NowMS))
		}
		for _, item := range s.Stock {
			if !item.WindowSet {
				t.Errorf("%s again: %+v, %+v", what, s.Window, item.Cell)
			}
		}
	}
	if s := m.must(open("a", at(time.Hour))); s.Replayed {
		t.Error("the first opening was done before")
	}
	s, err := open("a", at(time.Hour))
	again("opening", sale.PhaseScheduled, s, err)
	if s := m.must(closing("a")); s.Replayed || s.Phase(s.NowMS) != sale.PhaseClosed { // a key belongs to its operation
		t.Errorf("closed: %+v", s)
	}
	m.must(closing("b")) // changes nothing, now
	s, err = open("a", at(time.Hour))
	again("opening", sale.PhaseClosed, s, err)

	m.must(open("c", at(2*time.Hour)))
	for _, key := range []string{"a", "b"} {
		s, err = closing(key)
		again("closing "+key, sale.PhaseScheduled, s, err)
	}
	if s, err = open("a", at(time.Hour)); s.OpensAtMS != at(2*time.Hour).UnixMilli() {
		t.Errorf("the first opening again, after another: %+v, %v", s.Window, err)
	}
	if _, err := open("a", at(3*time.Hour)); !errors.Is(err, sale.ErrOtherCall) {
		t.Errorf("another opening under the same key: %v", err)
	}
	if _, err := m.Open(ctx, 7, sale.Call{User: 1, Key: "a"}, sale.Opening{At: at(time.Hour), For: time.Hour}); !errors.Is(err, sale.ErrOtherCall) {
		t.Errorf("the same opening for an hour only, under the same key: %v", err)
	}
	if s := m.must(m.Open(ctx, 7, sale.Call{User: 2, Key: "a"}, sale.Opening{At: at(3 * time.Hour)})); s.Replayed {
		t.Error("another user's key was done before")
	}

	broken := sale.NewDesk(&cutOff{Store: m.store}, m.db, retention)
	if _, err := broken.Close(ctx, 7, sale.Call{User: 1, Key: "d"}, time.Time{}); !errors.Is(err, stock.ErrUnknown) {
		t.Fatalf("cut off: %v", err)
	}
	if _, err := m.Empty(ctx, 7, sale.Call{}); !errors.Is(err, sale.ErrNotClosed) {
		t.Errorf("return while the cells are not closed, though the row is: %v", err)
	}
	s, err = closing("d")
	again("closing that was cut off", sale.PhaseClosed, s, err)
}

// interrupted calls meanwhile, once: after so many readings of cells, or before so many other calls.
type interrupted struct {
	stock.Store
	cells, calls atomic.Int64
	meanwhile    func()
}

func (i *interrupted) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	states, nowMS, err := i.Store.Cells(ctx, cells)
	if i.cells.Add(-1) == 0 {
		i.meanwhile()
	}
	return states, nowMS, err
}

func (i *interrupted) Do(ctx context.Context, vectors ...*stock.Vector) {
	if i.calls.Add(-1) == 0 {
		i.meanwhile()
	}
	i.Store.Do(ctx, vectors...)
}

// While a desk is at work, another one does the same or the opposite: the first one stops, and nothing is
// done twice.
func TestTwoDesksOnOneSale(t *testing.T) {
	t.Parallel()
	bringBack := func(ctx context.Context, d *sale.Desk) error {
		_, err := d.Empty(ctx, 7, sale.Call{})
		return err
	}
	openAndClose := func(ctx context.Context, d *sale.Desk) error {
		_, opened := d.Open(ctx, 7, sale.Call{}, sale.Opening{})
		_, closed := d.Close(ctx, 7, sale.Call{}, time.Time{})
		return errors.Join(opened, closed)
	}
	open := func(ctx context.Context, d *sale.Desk) error {
		_, err := d.Open(ctx, 7, sale.Call{}, sale.Opening{})
		return err
	}
	for _, c := range []struct {
		name         string
		cells, calls int64
		do, by       func(context.Context, *sale.Desk) error
		moved        int64
	}{
		{"opened and closed while it is opened", 1, 0, open, openAndClose, 50},
		{"returned before the transfer begins", 4, 0, bringBack, bringBack, 0},
		{"returned during the transfer", 0, 1, bringBack, bringBack, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMarket(t, map[int64]int64{1: 100})
			p := plan()
			p.Items = p.Items[1:]
			m.must(m.Create(t.Context(), p))
			m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
			store := &interrupted{Store: m.store, meanwhile: func() {
				m.pass(time.Second)
				if err := c.by(t.Context(), m.Desk); err != nil {
					t.Errorf("meanwhile: %v", err)
				}
			}}
			store.cells.Store(c.cells)
			store.calls.Store(c.calls)
			if err := c.do(t.Context(), sale.NewDesk(store, m.db, retention)); !errors.Is(err, sale.ErrOverlap) {
				t.Errorf("the interrupted one: %v", err)
			}
			s := m.must(m.Show(t.Context(), 7))
			if s.Phase(s.NowMS) != sale.PhaseClosed || !s.Stock[0].Settled || s.Stock[0].Moved != c.moved || m.avail(1, 7) != c.moved || m.avail(1, 0) != 100-c.moved {
				t.Errorf("after both: %+v", s)
			}
		})
	}
}
