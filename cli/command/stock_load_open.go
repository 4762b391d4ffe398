package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// open connects, and returns the partitions that are shut, because nothing can be loaded there. A dry run opens
// nothing. If nobody has opened this Redis yet and nothing speaks against it, a dry run treats all SKUs as not
// loaded.
func (l *StockLoad) open(ctx context.Context, c *Console) (o *Opened, store stock.Store, shut []int, err error) {
	o, err = l.target(ctx, c, l.DryRun, true)
	if err != nil {
		return nil, nil, nil, err
	}
	store = o.Stock
	shut, err = o.Stock.Shut(ctx)
	if err == nil && l.DryRun && len(shut) == o.Stock.Partitions() {
		store, shut, err = unopened{o.Stock}, nil, l.inspect(ctx, o)
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, o.Close())
	}
	return o, store, shut, nil
}

// reopen vets a server that was shut meanwhile, and returns the partitions that stay shut.
func (l *StockLoad) reopen(ctx context.Context, c *Console, o *Opened) ([]int, error) {
	if err := l.vet(ctx, c, o, true); err != nil {
		return nil, err
	}
	return o.Stock.Shut(ctx)
}

// errDryShut means that a dry run cannot look at cells.
var errDryShut = errors.New("a dry run opens nothing, and Redis is shut, with stock in it: start an edge, which opens it, or load without --dry-run")

// inspect fails, unless Redis is a new one that a load would open.
func (l *StockLoad) inspect(ctx context.Context, o *Opened) error {
	report, causes, err := l.vetting(o).Inspect(ctx)
	switch {
	case err != nil:
		return err
	case len(causes) > 0:
		return fmt.Errorf("%w: %s", redisstock.ErrVetting, strings.Join(causes, "; "))
	case !report.New:
		return errDryShut
	}
	return nil
}

// unopened is a new Redis that nobody has opened. It has no cells.
type unopened struct{ *redisstock.Store }

// Cells implements stock.Store.
func (u unopened) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	states := make([]stock.CellState, len(cells))
	for i, cell := range cells {
		states[i].Cell = cell
	}
	nowMS, err := u.Now(ctx)
	return states, nowMS, err
}
