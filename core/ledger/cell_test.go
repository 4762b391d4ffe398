package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
)

func TestCellIsTheOneAskedFor(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.cell(1, 0, 0, 5)
	b.cell(1, 7, 0, 6)
	b.cell(1, 7, 1, 8)
	for cell, avail := range map[stock.Cell]int64{{SKU: 1}: 5, {SKU: 1, Pool: 7}: 6, {SKU: 1, Pool: 7, Bucket: 1}: 8} {
		got, err := b.Cell(t.Context(), cell)
		if err != nil {
			t.Fatal(err)
		}
		want := &ledger.Stock{
			SKU: show.ID(cell.SKU), Sale: show.ID(cell.Pool), Bucket: cell.Bucket, Total: avail, Avail: avail, Epoch: 1, Seq: 7,
			WarehouseID: got.WarehouseID, UpdatedAt: 1767323045678,
		}
		if diff := cmp.Diff(want, got); diff != "" || got.Position() != (stock.Position{Epoch: 1, Seq: 7}) {
			t.Errorf("%v: %s", cell, diff)
		}
	}
	if got, err := b.Cell(t.Context(), stock.Cell{SKU: 2}); err != nil || got != nil {
		t.Errorf("a cell that MySQL does not know: %+v, %v", got, err)
	}
}
