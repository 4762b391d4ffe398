package stock

import (
	"math"
	"testing"
)

func TestCellBinaryFormRoundTrips(t *testing.T) {
	t.Parallel()
	for _, c := range []Cell{
		{SKU: 1},
		{SKU: math.MaxInt64, Pool: math.MaxUint32, Bucket: math.MaxUint16},
		{SKU: 0x0102030405060708, Pool: 0x090a0b0c, Bucket: 0x0d0e},
	} {
		b := c.Append(nil)
		if len(b) != CellBytes {
			t.Errorf("%v has %d bytes", c, len(b))
		}
		if got := CellFrom(b); got != c {
			t.Errorf("read %v, want %v", got, c)
		}
	}
}

// TestPartitionsNeverChange has literal values: partitions are part of stored ids and of key names.
func TestPartitionsNeverChange(t *testing.T) {
	t.Parallel()
	f := func(c Cell, partitions, want int) {
		t.Helper()
		if got := c.Partition(partitions); got != want {
			t.Errorf("%v is in partition %d of %d, want %d", c, got, partitions, want)
		}
	}
	f(Cell{SKU: 1}, 1, 0)
	f(Cell{SKU: 1001}, 64, 21)
	f(Cell{SKU: 1002}, 64, 5)
	f(Cell{SKU: 1001, Pool: 1}, 64, 2)
	f(Cell{SKU: 1001, Bucket: 1}, 64, 26)
	f(Cell{SKU: math.MaxInt64, Pool: math.MaxUint32, Bucket: math.MaxUint16}, 64, 8)
	f(Cell{SKU: 1001}, 1000, 677)
	f(Cell{SKU: 1001}, 65536, 57301)
}

// TestPartitionsShareTheLoad takes SKUs as shops number them: in a row, in steps, in one sale.
func TestPartitionsShareTheLoad(t *testing.T) {
	t.Parallel()
	f := func(name string, partitions int, cell func(i int64) Cell) {
		t.Helper()
		const cells = 64_000
		counts := make([]int, partitions)
		for i := range int64(cells) {
			counts[cell(i).Partition(partitions)]++
		}
		mean := float64(cells) / float64(partitions)
		for p, n := range counts {
			// Five standard deviations of a fair spread.
			if d := math.Abs(float64(n) - mean); d > 5*math.Sqrt(mean) {
				t.Errorf("%s: partition %d of %d has %d cells, the mean is %.0f", name, p, partitions, n, mean)
			}
		}
	}
	for _, partitions := range []int{2, 3, 64, 100} {
		f("in a row", partitions, func(i int64) Cell { return Cell{SKU: 1 + i} })
		f("in steps of 64", partitions, func(i int64) Cell { return Cell{SKU: 1 + 64*i} })
		f("in steps of 1000", partitions, func(i int64) Cell { return Cell{SKU: 1 + 1000*i} })
		f("of a sale", partitions, func(i int64) Cell { return Cell{SKU: 1 + i, Pool: 7} })
		f("sales of one SKU", partitions, func(i int64) Cell { return Cell{SKU: 1, Pool: uint32(i)} })
		f("buckets", partitions, func(i int64) Cell { return Cell{SKU: 1, Bucket: uint16(i)} })
		f("with large numbers", partitions, func(i int64) Cell { return Cell{SKU: math.MaxInt64 - i<<16} })
	}
}

func TestCellString(t *testing.T) {
	t.Parallel()
	f := func(c Cell, want string) {
		t.Helper()
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(Cell{SKU: 5}, "sku 5")
	f(Cell{SKU: 5, Pool: 6}, "sku 5, sale 6, bucket 0")
	f(Cell{SKU: 5, Pool: 6, Bucket: 7}, "sku 5, sale 6, bucket 7")
}
