package memstock_test

import (
	"cmp"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
	"sluice/core/stock/stocktest"
)

// newFixture is a model of its own whose clock stands still unless a case moves it.
func newFixture(*testing.T) stocktest.Fixture {
	var clock atomic.Int64
	clock.Store(1_700_000_000_000)
	f := fixture(clock.Load)
	f.Advance = func(toMS int64) {
		for now := clock.Load(); now < toMS && !clock.CompareAndSwap(now, toMS); now = clock.Load() {
		}
	}
	return f
}

// newRealTimeFixture is a model of its own that lives in real time.
func newRealTimeFixture(*testing.T) stocktest.Fixture {
	return fixture(func() int64 { return time.Now().UnixMilli() })
}

func fixture(now func() int64) stocktest.Fixture {
	model := memstock.New(stock.PartitionsDefault, now)
	return stocktest.Fixture{
		Open: func(_ testing.TB, o stocktest.Options) stocktest.Store {
			s := *model
			s.Retention = cmp.Or(o.Retention, s.Retention)
			s.OutboxEntriesMax = cmp.Or(o.OutboxEntriesMax, s.OutboxEntriesMax)
			s.Ack = cmp.Or(o.Ack, s.Ack)
			return &s
		},
		Corrupt: func(_ testing.TB, cell stock.Cell, avail, held int64) {
			model.Edit(cell, func(s *stock.CellState) { s.Avail, s.Held = s.Avail+avail, s.Held+held })
		},
		Lose: func(_ testing.TB, cell stock.Cell) {
			model.Edit(cell, func(s *stock.CellState) { *s = stock.CellState{Cell: cell} })
		},
		Vouch: func(_ testing.TB, cell stock.Cell, users int64) int64 {
			return model.Vouch(cell.Partition(model.Partitions()), cell.Pool, users)
		},
		LoseUser: func(_ testing.TB, cell stock.Cell, user int64) {
			model.LoseUser(cell.Partition(model.Partitions()), cell.Pool, user)
		},
		LoseBasket: func(_ testing.TB, id stock.ReservationID) { model.LoseBasket(id) },
		AgeBasket:  func(_ testing.TB, id stock.ReservationID) { model.AgeBasket(id) },
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	stocktest.Run(t, newFixture)
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	stocktest.Simulate(t, newFixture)
}

func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	stocktest.Concurrent(t, newRealTimeFixture)
}
