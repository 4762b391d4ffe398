package memstock_test

import (
	"sync/atomic"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
	"sluice/core/stock/stocktest"
)

// newFixture is a model of its own whose clock stands still unless a case moves it.
func newFixture(*testing.T) stocktest.Fixture {
	var clock atomic.Int64
	clock.Store(1_700_000_000_000)
	model := memstock.New(stock.PartitionsDefault, clock.Load)
	return stocktest.Fixture{
		Open: func(_ testing.TB, o stocktest.Options) stocktest.Store {
			s := *model
			if o.Retention != 0 {
				s.Retention = o.Retention
			}
			if o.OutboxEntriesMax != 0 {
				s.OutboxEntriesMax = o.OutboxEntriesMax
			}
			return &s
		},
		Corrupt: func(_ testing.TB, cell stock.Cell) {
			model.Edit(cell, func(s *stock.CellState) { s.Avail++ })
		},
		Advance: func(toMS int64) {
			for now := clock.Load(); now < toMS && !clock.CompareAndSwap(now, toMS); now = clock.Load() {
			}
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	stocktest.Run(t, newFixture)
}
