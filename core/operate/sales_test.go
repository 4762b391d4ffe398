package operate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/core/operate"
	"sluice/core/sale"
	"sluice/core/stock"
)

// Every act of operators on sales reaches the desk with what was asked for, and says beforehand what it needs.
func TestChangesOfSales(t *testing.T) {
	t.Parallel()
	by := sale.Call{User: 3, Key: "k"}
	opening := sale.Opening{At: time.UnixMilli(5)}
	for want, change := range map[string]*operate.SaleChange{
		"create 7 with a hold of 15m0s": operate.CreateSale(sale.Plan{ID: 7, Ack: stock.AckReplica}),
		"create 7 with a hold of 1m0s":  operate.CreateSale(sale.Plan{ID: 7, Ack: stock.AckReplica, Hold: time.Minute}),
		"open 7 at 5 by {3 k}":          operate.OpenSale(7, opening, by),
		"close 7 at 6 by {3 k}":         operate.CloseSale(7, time.UnixMilli(6), by),
		"fill 7 by {3 k}":               operate.FillSale(7, by),
		"empty 7 by {3 k}":              operate.EmptySale(7, by),
	} {
		var desk saleDesk
		if _, err := change.Do(t.Context(), &desk); err != nil || desk.did != want {
			t.Errorf("%q, %v; want %q", desk.did, err, want)
		}
		creates := want[:2] == "cr" || want[:2] == "fi"
		if change.Sale != 7 || change.Creates != creates || (change.Ack == stock.AckReplica) != (want[:2] == "cr") {
			t.Errorf("%s: %+v", want, change)
		}
	}
}

// saleDesk keeps what it was asked for.
type saleDesk struct{ did string }

func (d *saleDesk) note(format string, values ...any) (sale.Sale, error) {
	d.did = fmt.Sprintf(format, values...)
	return sale.Sale{}, nil
}

func (d *saleDesk) Create(_ context.Context, p sale.Plan) (sale.Sale, error) {
	return d.note("create %d with a hold of %v", p.ID, p.Hold)
}

func (d *saleDesk) Show(_ context.Context, id uint32) (sale.Sale, error) {
	return d.note("show %d", id)
}

func (d *saleDesk) Open(_ context.Context, id uint32, by sale.Call, o sale.Opening) (sale.Sale, error) {
	return d.note("open %d at %d by %v", id, o.At.UnixMilli(), by)
}

func (d *saleDesk) Close(_ context.Context, id uint32, by sale.Call, at time.Time) (sale.Sale, error) {
	return d.note("close %d at %d by %v", id, at.UnixMilli(), by)
}

func (d *saleDesk) Fill(_ context.Context, id uint32, by sale.Call) (sale.Sale, error) {
	return d.note("fill %d by %v", id, by)
}

func (d *saleDesk) Empty(_ context.Context, id uint32, by sale.Call) (sale.Sale, error) {
	return d.note("empty %d by %v", id, by)
}

// If something may have happened, the error tells it first. Then it tells what certainly has not happened.
func TestSaleFaultOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want operate.SaleFault
		errs []error
	}{
		{operate.SaleFaultOther, []error{nil, errors.New("?"), stock.ErrNotApplied, stock.ErrShut, context.Canceled}},
		{operate.SaleFaultInTransit, []error{stock.ErrInTransit, fmt.Errorf("%w: %w", stock.ErrInTransit, stock.ErrUnknown)}},
		{operate.SaleFaultUnknown, []error{stock.ErrUnknown, errors.Join(stock.ErrTransferRefused, stock.ErrUnknown), fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrUnknown)}},
		{operate.SaleFaultPartly, []error{sale.ErrPartly, fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrTransferRefused), fmt.Errorf("%w: %w", sale.ErrPartly, stock.ErrNotApplied)}},
		{operate.SaleFaultTransfer, []error{stock.ErrTransferRefused, stock.ErrTransferMismatch, errors.Join(stock.ErrTransferRefused, stock.ErrNotApplied)}},
		{operate.SaleFaultShut, []error{fmt.Errorf("%w: %w", sale.ErrShut, stock.ErrShut)}},
		{operate.SaleFaultNotFound, []error{sale.ErrNotFound}},
		{operate.SaleFaultValues, []error{sale.ErrPlan, sale.ErrWindow}},
		{operate.SaleFaultNotLoaded, []error{sale.ErrNotLoaded}},
		{operate.SaleFaultShort, []error{sale.ErrShort}},
		{operate.SaleFaultOverlap, []error{sale.ErrOverlap}},
		{operate.SaleFaultPlan, []error{sale.ErrOtherPlan}},
		{operate.SaleFaultCall, []error{sale.ErrOtherCall}},
		{operate.SaleFaultNotFilled, []error{sale.ErrNotFilled}},
		{operate.SaleFaultNotClosed, []error{sale.ErrNotClosed}},
		{operate.SaleFaultStale, []error{sale.ErrStaleMove}},
		{operate.SaleFaultCell, []error{sale.ErrCellRefuse}},
	} {
		for _, err := range c.errs {
			if got := operate.SaleFaultOf(err); got != c.want {
				t.Errorf("%v: fault %d, want %d", err, got, c.want)
			}
		}
	}
}
