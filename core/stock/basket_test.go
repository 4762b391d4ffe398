package stock_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// The order and the division of items into lines of one SKU change nothing: the same key is the same basket. All else does.
func TestBasketsAreTheirLines(t *testing.T) {
	t.Parallel()
	const partitions = 64
	item := func(sku int64, pool uint32, quantity int64) stock.Line {
		return stock.Line{Cell: stock.Cell{SKU: sku, Pool: pool}, Quantity: quantity}
	}
	basket := func(items ...stock.Line) stock.Basket {
		t.Helper()
		b, err := stock.NewBasket(7, "k", items, partitions)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	want := basket(item(1, 0, 2), item(2, 5, 1), item(3, 0, 3), item(4, 0, 1))
	if home := want.Lines[0]; home.Cell != (stock.Cell{SKU: 1}) || want.ID() != home.ID {
		t.Errorf("the home of %+v is not that of its smallest line", want)
	}
	f := func(same bool, items ...stock.Line) {
		t.Helper()
		got := basket(items...)
		if d := cmp.Diff(want, got); (d == "") != same {
			t.Errorf("%v: the same basket %v, want %v:\n%s", items, !same, same, d)
		}
		if (got.Fingerprint == want.Fingerprint) != same {
			t.Errorf("%v: the fingerprint is the same: %v, want %v", items, !same, same)
		}
	}
	f(true, item(4, 0, 1), item(3, 0, 1), item(2, 5, 1), item(1, 0, 2), item(3, 0, 2))
	f(false, item(1, 0, 2), item(2, 5, 1), item(3, 0, 2), item(4, 0, 1))
	f(false, item(1, 0, 2), item(2, 6, 1), item(3, 0, 3), item(4, 0, 1))
	f(false, item(1, 0, 2), item(2, 5, 1), item(3, 0, 3))
	f(false, item(1, 0, 2), item(2, 5, 1), item(3, 0, 3), item(5, 0, 1))
	var lines []stock.Line
	for _, part := range want.Parts() {
		for _, l := range part {
			if l.ID.Partition() != part[0].ID.Partition() || l.ID.Partition() != l.Cell.Partition(partitions) {
				t.Errorf("a line of %v is among those of %d", l.Cell, part[0].ID.Partition())
			}
		}
		lines = append(lines, part...)
	}
	if !slices.Equal(lines, want.Lines) {
		t.Errorf("the parts are not all lines in their order: %v", lines)
	}
	for at, items := range map[int][]stock.Line{
		-1: nil, 0: {item(0, 0, 1)}, 1: {item(1, 0, 1), item(2, 0, 0)},
		2: {item(1, 0, stock.QuantityMax), item(2, 0, stock.QuantityMax), item(1, 0, 1)},
	} {
		_, err := stock.NewBasket(7, "k", items, partitions)
		if wrong := new(stock.ItemError); !errors.As(err, &wrong) || wrong.Item != at {
			t.Errorf("%v: %v, want a fault of item %d", items, err, at)
		}
	}
}
