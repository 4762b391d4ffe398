package redisstock_test

import (
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestShutCells finds the cells to which nothing may happen, those that nobody has met yet included.
func TestShutCells(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	want := map[stock.Cell]stock.Verdict{}
	cell := func(why stock.Verdict, settings stock.Settings, change func(value []byte)) stock.Cell {
		c := s.load(10, settings)
		edit(s, s.client, c, change)
		want[c] = why
		return c
	}
	same := func([]byte) {}
	cell(stock.VerdictOK, stock.Settings{}, same)
	cell(stock.VerdictOK, stock.Settings{Frozen: true}, same)
	cell(stock.VerdictFenced, stock.Settings{}, func(value []byte) { value[flagsAt] |= 2 })
	cell(stock.VerdictBreached, stock.Settings{Frozen: true}, func(value []byte) { value[flagsAt] |= 4 })
	cell(stock.VerdictBreached, stock.Settings{}, func(value []byte) { value[heldEnd]++ })
	cell(stock.VerdictBreached, stock.Settings{}, func(value []byte) { value[0]++ })
	met := cell(stock.VerdictFenced, stock.Settings{}, same)
	r := take(stock.OpReserve, met, 1, 1)
	r.Fence = stock.Position{Epoch: 1, Seq: 9}
	s.one(stock.OpReserve, r)

	found := map[stock.Cell]stock.Verdict{}
	for p := range s.Partitions() {
		for cursor := uint64(0); ; {
			shut, next, err := s.ShutCells(t.Context(), p, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for i := range shut {
				found[shut[i].Cell] = shut[i].Shut()
			}
			if cursor = next; cursor == 0 {
				break
			}
		}
	}
	for c, why := range want {
		if found[c] != why {
			t.Errorf("%v is found %v, want %v", c, found[c], why)
		}
	}
	if _, _, err := s.ShutCells(t.Context(), s.Partitions(), 0); err == nil {
		t.Error("a partition that is not there: no error")
	}
}
