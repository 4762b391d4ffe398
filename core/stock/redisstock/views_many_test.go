package redisstock_test

import (
	"context"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestNobodyWasAskedIsNoAnswer reads with a context that has ended. Each reading has its error: without it, a cell that nobody has
// asked for would look like one that is not there.
func TestNobodyWasAskedIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	held := s.reserve(s.load(9, stock.Settings{Limit: 9}), 1, 1)
	const n = 5000 // more than one call reads
	cells, users, ids, partitions := make([]stock.Cell, n), make([]int64, n), make([]stock.ReservationID, n), make([]int, n)
	for i := range n {
		cells[i], users[i], ids[i], partitions[i] = held.Cell, 1, held.ID, partition(held.Cell)
	}
	read := func(ctx context.Context) map[string][]error {
		read := map[string][]error{}
		for _, size := range s.Sizes(ctx) {
			read["sizes"] = append(read["sizes"], size.Err)
		}
		for _, step := range s.ViewManyCells(ctx, partitions[:2]) {
			read["scan"] = append(read["scan"], step.Err)
		}
		_, read["outboxes"] = s.ViewManyOutboxes(ctx, []redisstock.OutboxPage{{Partition: partitions[0], Limit: 1}})
		_, read["cells"] = s.ManyCellsNow(ctx, cells)
		_, read["records"] = s.ManyRecordsNow(ctx, partitions, ids)
		_, read["buyers"] = s.ManyBuyersNow(ctx, cells, users)
		_, err := s.RecordsNow(ctx, partitions[0], ids)
		read["records of one partition"] = []error{err}
		return read
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, wantErr := range map[context.Context]bool{t.Context(): false, ended: true} {
		for what, errs := range read(ctx) {
			for i, err := range errs {
				if (err != nil) != wantErr {
					t.Errorf("%s: error %d of %d is %v, want one: %v", what, i+1, len(errs), err, wantErr)
					break
				}
			}
		}
	}
}
