package command

import (
	"fmt"
	"reflect"
	"testing"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// The tags of flags repeat constants of core.
func TestFlagsRepeatConstants(t *testing.T) {
	t.Parallel()
	f := func(group any, field, tag, want string) {
		t.Helper()
		found, _ := reflect.TypeOf(group).FieldByName(field)
		if got := found.Tag.Get(tag); got != want {
			t.Errorf("%T.%s: %s %q, want %q", group, field, tag, got, want)
		}
	}
	f(SaleCreate{}, "Hold", "default", fmt.Sprintf("%.0fm", stock.HoldDefault.Minutes()))
	f(SaleCreate{}, "Limit", "between", fmt.Sprintf("0-%d", stock.QuantityMax))
	f(StockList{}, "AvailMax", "between", fmt.Sprintf("0-%d", stock.UnitsMax))
	f(Listing{}, "Limit", "default", fmt.Sprint(ledger.PageDefault))
	f(Listing{}, "Limit", "between", fmt.Sprintf("1-%d", ledger.PageMax))
}
