package show_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
)

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A setting without a bound has no member; no number stands for it.
func TestWhatHasNoBoundHasNoMember(t *testing.T) {
	t.Parallel()
	cell := stock.CellState{Cell: stock.Cell{SKU: 1001}, Loaded: true, Position: stock.Position{Epoch: 1, Seq: 2}}
	cell.Avail, cell.Total, cell.Hold = 5, 5, 15*time.Minute
	const plain = `{"sku_id":"1001","total":5,"avail":5,"held":0,"sold":0,"hold_ms":900000,"ack":"default",` +
		`"shopper_deducts":false,"planned":false,"frozen":false,"fenced":false,"breached":false,"epoch":1,"seq":2}`
	if diff := cmp.Diff(plain, encoded(t, show.CellOf(&cell))); diff != "" {
		t.Errorf("unbounded: %s", diff)
	}
	cell.Cell.Pool, cell.Limit, cell.OpensAtMS, cell.ClosesAtMS = 7, 2, 1, 1772366400000
	const bounded = `{"sku_id":"1001","sale_id":"7","total":5,"avail":5,"held":0,"sold":0,"limit":2,"hold_ms":900000,` +
		`"opens_at":"1970-01-01T00:00:00.001Z","closes_at":"2026-03-01T12:00:00.000Z","ack":"default",` +
		`"shopper_deducts":false,"planned":false,"frozen":false,"fenced":false,"breached":false,"epoch":1,"seq":2}`
	if diff := cmp.Diff(bounded, encoded(t, show.CellOf(&cell))); diff != "" {
		t.Errorf("bounded: %s", diff)
	}
	cell.Limit, cell.OpensAtMS, cell.ClosesAtMS = 0, sale.NotScheduled, 0
	const planned = `{"sku_id":"1001","sale_id":"7","total":5,"avail":5,"held":0,"sold":0,"hold_ms":900000,"ack":"default",` +
		`"shopper_deducts":false,"planned":true,"frozen":false,"fenced":false,"breached":false,"epoch":1,"seq":2}`
	if diff := cmp.Diff(planned, encoded(t, show.CellOf(&cell))); diff != "" {
		t.Errorf("planned: %s", diff)
	}
	s := sale.Sale{
		Plan:   sale.Plan{ID: 7, Name: "a \"sale\"", Hold: time.Minute, Items: []sale.Allotment{{SKU: 1001, Quantity: 5}, {SKU: 1002, Quantity: 1}}},
		Window: sale.Window{OpensAtMS: sale.NotScheduled}, Stock: []sale.ItemStock{{Moved: 5, Settled: true, WindowSet: true, Cell: cell}, {}},
	}
	const sold = `{"sale_id":"7","name":"a \"sale\"","phase":"planned","hold_ms":60000,"ack":"default","shopper_deducts":false,"registered_only":false,"filled":false,"items":[` +
		`{"sku_id":"1001","quantity":5,"moved":5,"avail":5,"held":0,"sold":0,"settled":true,"window_set":true,"frozen":false,"fenced":false,"breached":false},` +
		`{"sku_id":"1002","quantity":1,"moved":0,"avail":0,"held":0,"sold":0,"settled":false,"window_set":false,"frozen":false,"fenced":false,"breached":false}]}`
	if diff := cmp.Diff(sold, encoded(t, show.SaleOf(&s))); diff != "" {
		t.Errorf("sale: %s", diff)
	}
}
