package sale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/core/stock"
)

// ErrShut tells that stock of some SKUs of a sale is in partitions that are shut until they are vetted. The error names them.
// It wraps stock.ErrShut too.
var ErrShut = errors.New("stock of these SKUs is shut until it is vetted")

// checkOpen refuses a call, before it changes anything, that would reach only some SKUs of a sale: their own stock or that of
// the sale is shut. Only Close does what it can, because it makes an end.
func (d *Desk) checkOpen(ctx context.Context, e *entry) error {
	for _, pool := range []uint32{0, e.plan.ID} {
		if _, _, err := d.cells(ctx, pool, e.items); err != nil {
			return err
		}
	}
	return nil
}

// shutError names the items whose cells in a pool are shut.
func (d *Desk) shutError(ctx context.Context, pool uint32, items []itemRow) error {
	var names []string
	shut := map[int]bool{} // by partition
	for _, r := range items {
		cell := stock.Cell{SKU: r.SKU, Pool: pool}
		partition := cell.Partition(d.store.Partitions())
		is, known := shut[partition]
		if !known {
			_, _, err := d.store.Cells(ctx, []stock.Cell{cell})
			is = errors.Is(err, stock.ErrShut)
			shut[partition] = is
		}
		if is {
			names = append(names, fmt.Sprintf("SKU %d", r.SKU))
		}
	}
	text := strings.Join(names[:min(len(names), faultsMax)], ", ")
	if more := len(names) - faultsMax; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%w: %s: %w", ErrShut, text, stock.ErrShut)
}

// now is Redis' time, from any cell of a sale that is not shut.
func (d *Desk) now(ctx context.Context, e *entry) (nowMS int64, err error) {
	var asked []int // partitions that are shut
	for _, r := range e.items {
		cell := stock.Cell{SKU: r.SKU, Pool: e.plan.ID}
		if slices.Contains(asked, cell.Partition(d.store.Partitions())) {
			continue
		}
		_, nowMS, err = d.cells(ctx, e.plan.ID, []itemRow{r})
		if !errors.Is(err, stock.ErrShut) {
			return nowMS, err
		}
		asked = append(asked, cell.Partition(d.store.Partitions()))
	}
	return 0, err
}
