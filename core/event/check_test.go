package event

import (
	"errors"
	"strings"
	"testing"

	"sluice/core/stock"
)

// TestCheck has, for each kind, an event at each of its bounds and one beyond it.
func TestCheck(t *testing.T) {
	t.Parallel()
	const units, most = stock.UnitsMax, stock.QuantityMax
	f := func(k Kind, quantity, delta, avail, held, sold int64, fault string) {
		t.Helper()
		e := Event{
			Kind: k, Quantity: quantity, Change: Change{Delta: delta}, Avail: avail, Held: held, Sold: sold,
			Cell: stock.Cell{SKU: 1001}, Position: stock.Position{Epoch: 1, Seq: 2},
		}
		err := e.Check()
		switch {
		case fault == "" && err != nil:
			t.Errorf("%+v: %v", e, err)
		case fault != "" && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), fault)):
			t.Errorf("%+v: %v, want a word about %q", e, err, fault)
		}
	}
	// The balance that the units of a kind arrive in is given by a function; the two others are 5.
	for kind, balances := range map[Kind]func(arrived int64) (avail, held, sold int64){
		KindReserve: func(n int64) (_, _, _ int64) { return 5, n, 5 },
		KindConfirm: func(n int64) (_, _, _ int64) { return 5, 5, n },
		KindDeduct:  func(n int64) (_, _, _ int64) { return 5, 5, n },
		KindRelease: func(n int64) (_, _, _ int64) { return n, 5, 5 },
		KindExpire:  func(n int64) (_, _, _ int64) { return n, 5, 5 },
	} {
		of := func(quantity, arrived int64, fault string) {
			t.Helper()
			avail, held, sold := balances(arrived)
			f(kind, quantity, 0, avail, held, sold, fault)
		}
		of(1, 1, "")
		of(7, 7, "")
		of(most, most, "")
		of(1, units-10, "")
		of(1, units-9, "out of range")
		of(0, 7, "quantity 0 out of range")
		of(-1, 7, "quantity -1 out of range")
		of(most+1, most+1, "quantity 1000001 out of range")
		of(7, 6, "7 units moved, but 6 are there")
		of(1, 0, "1 units moved, but 0 are there")
		f(kind, 1, 0, -1, 5, 5, "balances -1, 5, 5 out of range")
		f(kind, 1, 0, 5, -1, 5, "balances 5, -1, 5 out of range")
		f(kind, 1, 0, 5, 5, -1, "balances 5, 5, -1 out of range")
	}
	for _, kind := range []Kind{KindAdjust, KindTransferOut, KindTransferIn} {
		f(kind, 0, 0, 0, 0, 0, "")
		f(kind, 0, 7, 7, 0, 0, "")
		f(kind, 0, units, units, 0, 0, "")
		f(kind, 0, -units, 0, 0, 0, "")
		f(kind, 0, -units-1, 0, 0, 0, "delta -1099511627776")
		f(kind, 0, 7, 6, 5, 5, "delta 7, but 6 avail")
		f(kind, 1, 7, 7, 5, 5, "with a quantity")
		f(kind, -1, 7, 7, 5, 5, "with a quantity")
		f(kind, 0, 0, -1, 5, 5, "out of range")
		f(kind, 0, 0, 5, -1, 5, "out of range")
		f(kind, 0, 0, 5, 5, -1, "out of range")
		f(kind, 0, 0, units, 0, 1, "out of range")
	}
}
