package sale_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sluice/core/sale"
	"sluice/core/stock"
)

// partlyShut is a store. Some of its partitions are shut.
type partlyShut struct {
	stock.Store
	shut map[int]bool
}

func (p *partlyShut) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	for _, cell := range cells {
		if p.shut[cell.Partition(partitions)] {
			return nil, 0, stock.ErrShut
		}
	}
	return p.Store.Cells(ctx, cells)
}

func (p *partlyShut) Do(ctx context.Context, vectors ...*stock.Vector) {
	for _, v := range vectors {
		if p.shut[v.Partition] {
			v.Err = stock.ErrShut
			continue
		}
		p.Store.Do(ctx, v)
	}
}

// TestPartitionIsShut shuts the partition of one SKU of a sale. All calls but close are refused as a whole, name the
// SKU and change nothing. Close ends the other SKUs; repeated after the partition is open, it ends this one too.
func TestPartitionIsShut(t *testing.T) {
	t.Parallel()
	m := newMarket(t, nil)
	own := stock.Cell{SKU: 2, Pool: 7}.Partition(partitions)
	for _, cell := range []stock.Cell{{SKU: 1}, {SKU: 1, Pool: 7}} {
		if cell.Partition(partitions) == own {
			t.Fatal("both SKUs are in one partition: the test tests nothing")
		}
	}
	for move, before := range map[string][]string{
		"create": nil, "open": {"create"}, "fill": {"create", "open", "close", "empty"}, "empty": {"create", "open", "close"}, "close": {"create", "open"},
	} {
		m.reset(map[int64]int64{1: 100, 2: 100})
		m.do(before...)
		store := &partlyShut{Store: m.store, shut: map[int]bool{own: true}}
		m.Desk = sale.NewDesk(store, m.db, retention)
		units := m.avail(1, 0)
		for range 2 {
			_, err := moves[move](t.Context(), m, sale.Call{User: 1, Key: "k"})
			if !errors.Is(err, stock.ErrShut) || !strings.Contains(err.Error(), "SKU 2") || strings.Contains(err.Error(), "SKU 1:") || strings.Contains(err.Error(), "SKU 1,") {
				t.Errorf("%s: %v, want it to name SKU 2 alone", move, err)
			}
			if errors.Is(err, sale.ErrPartly) != (move == "close") || errors.Is(err, sale.ErrShut) == (move == "close") {
				t.Errorf("%s: %v", move, err)
			}
		}
		if move == "close" {
			if v := m.reserve(7, 1, 5); v != stock.VerdictClosed {
				t.Errorf("the other SKU is %v, want it closed", v)
			}
		} else if m.avail(1, 0) != units {
			t.Errorf("%s: units of the other SKU have moved", move)
		}
		if _, err := m.Show(t.Context(), 7); (move == "create") != errors.Is(err, sale.ErrNotFound) {
			t.Errorf("%s: the sale is there or not: %v", move, err)
		}
		store.shut = nil
		m.must(moves[move](t.Context(), m, sale.Call{User: 1, Key: "k"}))
		if s := m.must(m.Show(t.Context(), 7)); !s.Stock[1].WindowSet {
			t.Errorf("%s, repeated: %+v", move, s)
		}
	}
}
