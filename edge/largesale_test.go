package edge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/edge/internal/storetest"
)

// TestTheLargestSaleByTheAPI leads a sale of as many items as there may be through its life, with the timeouts of a
// real edge: no call may be cut off.
func TestTheLargestSaleByTheAPI(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.cfg.Redis.CallTimeout = 300 * time.Millisecond
	s.start()
	cells := make([]stock.Cell, sale.ItemsMax)
	for i := range cells {
		cells[i].SKU = int64(i + 1)
	}
	storetest.Load(t, s.store(), 5, stock.Settings{}, cells...)
	admin := s.token(1, auth.RoleAdmin)
	var plan strings.Builder
	plan.WriteString(`{"name":"all of it","items":[`)
	for i := range sale.ItemsMax {
		if i > 0 {
			plan.WriteByte(',')
		}
		fmt.Fprintf(&plan, `{"sku_id":"%d","quantity":3}`, i+1)
	}
	plan.WriteString(`]}`)
	call := func(method, path, body string, moved float64) {
		t.Helper()
		start := time.Now()
		got := s.send(method, "/admin/v1/sales/7"+path, admin, body)
		t.Logf("%s %s: %v", method, path, time.Since(start).Round(time.Millisecond))
		if got.status >= 300 {
			t.Fatalf("%s %s: %d %.1000s", method, path, got.status, got.body)
		}
		items, _ := got.json["items"].([]any)
		if len(items) != sale.ItemsMax {
			t.Fatalf("%s %s: %d items", method, path, len(items))
		}
		for _, item := range items {
			if i, _ := item.(map[string]any); i["moved"] != moved || i["avail"] != moved || i["settled"] != true || i["window_set"] != true {
				t.Fatalf("%s %s: %v", method, path, item)
			}
		}
	}
	call("PUT", "", plan.String(), 3)
	call("PUT", "", plan.String(), 3)
	call("GET", "", "", 3)
	call("POST", "/open", `{}`, 3)
	call("POST", "/close", `{}`, 3)
	call("POST", "/empty", "", 0)
	call("POST", "/fill", "", 3)
}
