package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/core/sale"
	"sluice/core/stock"
)

// fakeSales keeps sales as the real desk shows them.
type fakeSales struct {
	mu    sync.Mutex
	sales map[uint32]sale.Sale
	calls map[sale.Call]bool
	nowMS func() int64
	err   error
}

func (s *fakeSales) Create(_ context.Context, p sale.Plan) (sale.Sale, error) {
	if err := p.Validate(); err != nil {
		return sale.Sale{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := sale.Sale{Plan: p, Window: sale.Window{OpensAtMS: sale.NotScheduled}, NowMS: s.nowMS()}
	for _, item := range p.Items {
		made.Stock = append(made.Stock, sale.ItemStock{Cell: stock.CellState{Balances: stock.Balances{Avail: item.Quantity}}})
	}
	s.sales[p.ID] = made
	return made, s.err
}

func (s *fakeSales) Show(_ context.Context, id uint32) (sale.Sale, error) {
	return s.edit(id, func(*sale.Sale) {})
}

func (s *fakeSales) Open(_ context.Context, id uint32, by sale.Call, o sale.Opening) (sale.Sale, error) {
	return s.edit(id, func(x *sale.Sale) {
		x.Replayed = s.calls[by]
		s.calls[by] = true
		x.OpensAtMS = o.At.UnixMilli()
		if !o.Closes.IsZero() {
			x.ClosesAtMS = o.Closes.UnixMilli()
		}
	})
}

func (s *fakeSales) Close(_ context.Context, id uint32, _ sale.Call, _ time.Time) (sale.Sale, error) {
	return s.edit(id, func(x *sale.Sale) { x.ClosesAtMS = s.nowMS() })
}

func (s *fakeSales) Fill(_ context.Context, id uint32, by sale.Call) (sale.Sale, error) {
	return s.edit(id, func(x *sale.Sale) { x.Replayed, x.Filled, s.calls[by] = s.calls[by], true, true })
}

func (s *fakeSales) Empty(_ context.Context, id uint32, by sale.Call) (sale.Sale, error) {
	return s.edit(id, func(x *sale.Sale) { x.Replayed, x.Filled, s.calls[by] = s.calls[by], false, true })
}

func (s *fakeSales) edit(id uint32, change func(*sale.Sale)) (sale.Sale, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.sales[id]
	if !ok {
		return sale.Sale{}, fmt.Errorf("sale %d: %w", id, sale.ErrNotFound)
	}
	x.Replayed = false
	change(&x)
	x.Changed = !x.Replayed
	x.NowMS = s.nowMS()
	s.sales[id] = x
	return x, s.err
}
