package api

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"sluice/core/auth"
	"sluice/core/sale"
	"sluice/core/stock"
)

func TestSalesAreToldAsTheyStand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin := f.token(1, auth.RoleAdmin)
	made := f.do(call{
		method: "PUT", path: "/admin/v1/sales/7", token: admin,
		body: `{"name":"\"Sale\" \u00e9","items":[{"sku_id":"2","quantity":5},{"sku_id":"1","quantity":6}],"limit":1,"ack":"log","shopper_deducts":true}`,
	})
	if made.status != 201 || made.json["name"] != `"Sale" é` || made.json["phase"] != "planned" || made.json["ack"] != "log" {
		t.Errorf("make: %d %s", made.status, made.body)
	}
	if added := f.noted(&f.added); len(added) != 2 || added[0].Pool != 7 {
		t.Errorf("the screen was told of %v", added)
	}
	open := call{
		method: "POST", path: "/admin/v1/sales/7/open", token: admin, key: "o",
		body: `{"opens_at":"2026-03-01T12:00:05Z","closes_at":"2026-03-01T13:00:00Z"}`,
	}
	for _, replayed := range []string{"", "true"} {
		opened := f.do(open)
		if opened.json["phase"] != "scheduled" || opened.json["opens_at"] != "2026-03-01T12:00:05.000Z" ||
			opened.header.Get("Idempotent-Replayed") != replayed || opened.json["changed"] != (replayed == "") {
			t.Errorf("open: %v %s", opened.header, opened.body)
		}
	}
	f.nowMS.Add(5000)
	if got := f.do(call{method: "GET", path: "/admin/v1/sales/7", token: admin}); got.json["phase"] != "open" || got.json["changed"] != nil {
		t.Errorf("show: %s", got.body)
	}
	for _, move := range []string{"empty", "fill"} {
		c := call{method: "POST", path: "/admin/v1/sales/7/" + move, token: admin, key: move}
		for _, replayed := range []string{"", "true"} {
			got := f.do(c)
			if got.status != 200 || got.json["filled"] != (move == "fill") || got.json["changed"] != (replayed == "") || got.header.Get("Idempotent-Replayed") != replayed {
				t.Errorf("%s: %d %v %s", move, got.status, got.header, got.body)
			}
		}
		c.body = `{}`
		if got := f.do(c); got.code() != "malformed" {
			t.Errorf("%s with a body: %s", move, got.body)
		}
	}
	for err, code := range map[error]string{
		sale.ErrNotFilled: "sale_refused", sale.ErrNotClosed: "sale_refused", sale.ErrStaleMove: "sale_refused", sale.ErrCellRefuse: "sale_refused",
		sale.ErrOverlap: "unavailable", sale.ErrShort: "sold_out", sale.ErrNotLoaded: "not_loaded", sale.ErrOtherPlan: "mismatch", sale.ErrOtherCall: "mismatch", sale.ErrWindow: "malformed",
		stock.ErrInTransit: "in_transit", stock.ErrUnknown: "outcome_unknown", stock.ErrShut: "unavailable",
		fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrTransferRefused): "partly_done", fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrNotApplied): "partly_done",
		errors.Join(stock.ErrTransferRefused, stock.ErrUnknown): "outcome_unknown", fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrUnknown): "outcome_unknown",
	} {
		f.sales.err = fmt.Errorf("sale 7: %w", err)
		if got := f.do(call{method: "POST", path: "/admin/v1/sales/7/close", token: admin, body: `{}`}); got.code() != code {
			t.Errorf("%v: %s", err, got.body)
		}
	}
}

func TestTransferThatStopsHalfWay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(p *Parts) {
		p.Transfer = func(context.Context, stock.TransferRequest) (bool, error) {
			return false, fmt.Errorf("%w: bring in: %w", stock.ErrInTransit, stock.ErrUnknown)
		}
	})
	got := f.do(call{
		method: "POST", path: "/admin/v1/transfers", token: f.token(1, auth.RoleAdmin),
		body: `{"sku_id":"5","to_sale_id":"9","quantity":10,"reason":"more"}`,
	})
	if got.code() != "in_transit" || got.json["retryable"] != true {
		t.Errorf("%s", got.body)
	}
}
