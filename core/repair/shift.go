package repair

import (
	"context"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// shift moves a cell's counters by what no event explains, into the next epoch.
func (d *Desk) shift(ctx context.Context, step *reconcile.RepairStep, s *reconcile.Shift) (string, stock.Position, error) {
	_, _, _ = ctx, step, s
	return "", stock.Position{}, refusal("this version cannot rebase a cell that is open")
}
