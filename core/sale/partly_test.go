package sale_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// TestDoneInPart makes each move while one SKU is shut. The answer says which SKUs are done and which are not, and the
// same call does the rest when the SKU is repaired.
func TestDoneInPart(t *testing.T) {
	t.Parallel()
	m := newMarket(t, nil)
	own, normal := stock.Cell{SKU: 2, Pool: 7}, stock.Cell{SKU: 2}
	for _, c := range []struct {
		move   string
		before []string
		shut   stock.Cell
		cause  error
		done   string
	}{
		{"create", nil, normal, stock.ErrTransferRefused, "(the sale is written down; SKUs set: 2; SKUs whose units have moved: 1)"},
		{"open", []string{"create"}, own, sale.ErrCellRefuse, "(the window is written down; SKUs set: 1)"},
		{"close", []string{"create", "open"}, own, sale.ErrCellRefuse, "(the window is written down; SKUs set: 1)"},
		{"fill", []string{"create", "close", "empty"}, own, stock.ErrTransferRefused, "(SKUs whose units have moved: 1)"},
		{"empty", []string{"create", "close"}, own, stock.ErrTransferRefused, "(SKUs whose units have moved: 1)"},
	} {
		for _, fenced := range []bool{false, true} {
			what := fmt.Sprintf("%s, fenced %v", c.move, fenced)
			m.reset(map[int64]int64{1: 100, 2: 100})
			m.do(c.before...)
			shut := func(is bool) {
				m.store.Edit(c.shut, func(s *stock.CellState) { s.Fenced, s.Breached = is && fenced, is && !fenced })
			}
			shut(true)
			by := sale.Call{User: 1, Key: "k"}
			for _, first := range []bool{true, false} {
				_, err := moves[c.move](t.Context(), m, by)
				if err == nil || !errors.Is(err, c.cause) || !strings.Contains(err.Error(), "SKU 2: ") || strings.Contains(err.Error(), "SKU 1: ") {
					t.Errorf("%s: %v", what, err)
				}
				if first && (!errors.Is(err, sale.ErrPartly) || !strings.Contains(err.Error(), c.done)) {
					t.Errorf("%s: %v, want it %s", what, err, c.done)
				} else if stays := c.move == "open" || c.move == "close"; !first && errors.Is(err, sale.ErrPartly) != stays {
					t.Errorf("%s, once more: %v", what, err)
				}
			}
			shut(false)
			s := m.must(moves[c.move](t.Context(), m, by))
			if s.Filled == (c.move == "empty") || !s.Stock[1].WindowSet || m.avail(2, 0)+m.avail(2, 7) != 100 {
				t.Errorf("%s, repeated: %+v", what, s)
			}
		}
	}
}

// A call that is refused for all SKUs has changed nothing, and its error says so.
func TestRefusedForAllIsNotInPart(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.do("create", "close")
	for _, item := range plan().Items {
		m.store.Edit(stock.Cell{SKU: item.SKU, Pool: 7}, func(s *stock.CellState) { s.Fenced = true })
	}
	if _, err := m.Empty(t.Context(), 7, sale.Call{}); !errors.Is(err, stock.ErrTransferRefused) || errors.Is(err, sale.ErrPartly) {
		t.Errorf("got %v", err)
	}
}

// Twenty SKUs are named, the rest is counted.
func TestManySKUsAreCounted(t *testing.T) {
	t.Parallel()
	m := newMarket(t, nil)
	p := plan()
	p.Items = nil
	for sku := int64(1); sku <= 30; sku++ {
		m.load(sku, 10)
		p.Items = append(p.Items, sale.Allotment{SKU: sku, Quantity: 1})
	}
	m.must(m.Create(t.Context(), p))
	for sku := int64(1); sku <= 25; sku++ {
		m.store.Edit(stock.Cell{SKU: sku, Pool: 7}, func(s *stock.CellState) { s.Breached = true })
	}
	_, err := m.Close(t.Context(), 7, sale.Call{}, time.Time{})
	if !errors.Is(err, sale.ErrPartly) || !strings.HasSuffix(err.Error(), "\nand 5 SKUs more") || !strings.Contains(err.Error(), "SKUs set: 5)") {
		t.Errorf("got %v", err)
	}
}
