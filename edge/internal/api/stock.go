package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"sluice/core/ids"
	"sluice/core/stock"
	"sluice/edge/screen"
)

// skusMax is the number of SKUs that one request may ask for.
const skusMax = 100

// stock shows the free units of one SKU, to anyone.
func (a *API) stock(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	cell, err := r.cellOfQuery()
	if err != nil {
		return err
	}
	if err := a.admitAddress(r); err != nil {
		return err
	}
	var ok bool
	if cell.SKU, ok = ids.Parse(r.param("sku_id")); !ok {
		return errNotLoaded
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	state, asOf, err := a.cell(ctx, cell)
	if err != nil {
		return err
	}
	if !state.Loaded {
		return errNotLoaded
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, maxAgeOne)
	r.answer(fasthttp.StatusOK, appendStock(r.out[:0], &state, asOf))
	return nil
}

// stocks shows the free units of several SKUs, in the order asked for. It leaves out SKUs that are not loaded, SKUs
// that the screen has no budget to check, and SKUs whose partition is shut, unless all partitions asked for are shut.
func (a *API) stocks(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	var cells []stock.Cell
	var pool uint32
	var err error
	for _, p := range r.query {
		if string(p.name) == "sale_id" {
			pool, err = saleID(p.value)
		} else {
			cells, err = skuIDs(p.value)
		}
		if err != nil {
			return err
		}
	}
	if len(cells) == 0 {
		return malformed("", "want sku_ids: 1 to %d ids, separated by commas", skusMax)
	}
	if err := a.admitAddress(r); err != nil {
		return err
	}
	states := make([]stock.CellState, len(cells))
	asOf := make([]time.Time, len(cells))
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	var group errgroup.Group
	var shut atomic.Int64
	for i, cell := range cells {
		cell.Pool = pool
		group.Go(func() (err error) { // at once, so that what must be read is read in few calls
			defer func() {
				if p := recover(); p != nil { // the barrier in Serve does not reach here
					err = fmt.Errorf("reading stock panicked: %v", p)
				}
			}()
			states[i], asOf[i], err = a.cell(ctx, cell)
			if errors.Is(err, screen.ErrBusy) {
				return nil // it did not exist a moment ago: the others are not refused for it
			}
			if errors.Is(err, stock.ErrShut) && shut.Add(1) < int64(len(cells)) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	out := r.out[:0]
	out = append(out, `{"data":[`...)
	for i := range states {
		if !states[i].Loaded {
			continue
		}
		if out[len(out)-1] != '[' {
			out = append(out, ',')
		}
		out = appendStock(out, &states[i], asOf[i])
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, maxAgeOne)
	r.answer(fasthttp.StatusOK, append(out, "]}"...))
	return nil
}

// cell returns a cell's state. It is not Loaded if the cell certainly does not exist.
func (a *API) cell(ctx context.Context, cell stock.Cell) (stock.CellState, time.Time, error) {
	mayExist, err := a.Known.MayExist(ctx, cell, true)
	if err != nil || !mayExist {
		return stock.CellState{Cell: cell}, time.Time{}, err
	}
	state, asOf, err := a.Cells.State(ctx, cell, stockMaxAge)
	if err != nil {
		return state, asOf, problemOfRead(err)
	}
	if !state.Loaded {
		a.Known.Missed(cell)
	}
	return state, asOf, nil
}

// cellOfQuery is the cell, as yet without a SKU, of a request whose only parameter is the sale.
func (r *request) cellOfQuery() (cell stock.Cell, err error) {
	for _, p := range r.query {
		if cell.Pool, err = saleID(p.value); err != nil {
			return cell, err
		}
	}
	return cell, nil
}

func saleID(text []byte) (uint32, error) {
	id, ok := ids.Parse(text)
	if !ok || id > math.MaxUint32 {
		return 0, malformed("", "sale_id: want digits, 1 to %d", uint32(math.MaxUint32))
	}
	return uint32(id), nil
}

// skuIDs reads a list of ids. Its commas may be encoded, as many clients do.
func skuIDs(text []byte) ([]stock.Cell, error) {
	text = bytes.ReplaceAll(text, []byte("%2C"), []byte{','})
	text = bytes.ReplaceAll(text, []byte("%2c"), []byte{','})
	var cells []stock.Cell
	for item := range bytes.SplitSeq(text, []byte{','}) {
		id, ok := ids.Parse(item)
		if !ok || len(cells) == skusMax {
			return nil, malformed("", "sku_ids: want 1 to %d ids, separated by commas", skusMax)
		}
		cells = append(cells, stock.Cell{SKU: id})
	}
	return cells, nil
}
