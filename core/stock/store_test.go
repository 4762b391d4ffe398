package stock_test

import (
	"errors"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

func TestDoAllAnswersEachRequestInItsPlace(t *testing.T) {
	t.Parallel()
	const partitions, skus = 4, 3 * stock.VectorMax
	store := memstock.New(partitions, func() int64 { return 1 })
	create := func(sku, units int64, key string) stock.Request {
		cell := stock.Cell{SKU: sku}
		return stock.Request{
			ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: key}.ID(partitions), Cell: cell, Fingerprint: uint32(units),
			Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Create: true, Delta: units, Reason: "test", Settings: stock.Settings{Hold: stock.HoldDefault}},
		}
	}
	var requests []stock.Request
	for sku := int64(1); sku <= skus; sku++ {
		requests = append(requests, create(sku, sku, "a"), create(sku, sku, "b"))
	}
	for i, d := range stock.DoAll(t.Context(), store, stock.OpAdjust, requests) {
		want := stock.VerdictOK
		if i%2 == 1 {
			want = stock.VerdictWrongState // the one before it has created the cell
		}
		if d.Err != nil || d.Verdict != want {
			t.Fatalf("request %d: %v, %v, want %v", i, d.Verdict, d.Err, want)
		}
	}
	states, _, err := store.Cells(t.Context(), []stock.Cell{{SKU: 1}, {SKU: skus}})
	if err != nil || states[0].Avail != 1 || states[1].Avail != skus {
		t.Errorf("cells %+v, %v", states, err)
	}
}

func TestDoAllKeepsErrorsToTheirVectors(t *testing.T) {
	t.Parallel()
	store := memstock.New(64, func() int64 { return 1 })
	good := stock.Cell{SKU: 1}
	bad := stock.Cell{SKU: 2}
	if good.Partition(64) == bad.Partition(64) {
		t.Fatal("choose SKUs of two partitions")
	}
	request := func(cell stock.Cell, a *stock.Adjustment) stock.Request {
		return stock.Request{ID: stock.Identity{Route: stock.OpAdjust, Cell: cell}.ID(64), Cell: cell, Adjustment: a}
	}
	decisions := stock.DoAll(t.Context(), store, stock.OpAdjust, []stock.Request{
		request(bad, nil),
		request(good, &stock.Adjustment{Kind: stock.AdjustPlain, Create: true, Reason: "test", Settings: stock.Settings{Hold: stock.HoldDefault}}),
	})
	if !errors.Is(decisions[0].Err, stock.ErrProtocol) {
		t.Errorf("a request without adjustment: %v", decisions[0].Err)
	}
	if decisions[1].Err != nil || decisions[1].Verdict != stock.VerdictOK {
		t.Errorf("a request beside it: %v, %v", decisions[1].Verdict, decisions[1].Err)
	}
	if got := stock.DoAll(t.Context(), store, stock.OpAdjust, nil); len(got) != 0 {
		t.Errorf("nothing to do: %v", got)
	}
}
