package api

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/operate"
	"sluice/core/problem"
	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
)

// createSale makes a sale and gives it its stock. Repeated with the same plan, whatever the key, it goes on
// where it was cut off.
func (a *API) createSale(r *request) error {
	b, _, err := adminBody[saleBody](a, r)
	if err != nil {
		return err
	}
	s, _ := b.values()
	a.warnOfReplicas(r, s.Ack)
	id, err := saleID([]byte(r.param("sale_id")))
	if err != nil {
		return err
	}
	plan := sale.Plan{ID: id, Name: string(b.Name), Limit: s.Limit, Hold: s.Hold, Ack: s.Ack, ShopperDeducts: s.ShopperDeducts}
	plan.RegisteredOnly, plan.ExtendMax = of(b.RegisteredOnly), time.Duration(of(b.ExtendMax))*time.Millisecond
	for _, i := range b.Items {
		plan.Items = append(plan.Items, sale.Allotment{SKU: int64(i.SKU), Quantity: int64(i.Quantity)})
	}
	return a.changeSale(r, fasthttp.StatusCreated, operate.CreateSale(plan))
}

func (a *API) showSale(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, admins); err != nil {
		return err
	}
	id, err := knownSaleID(r)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	shown, err := a.Sales.Show(ctx, id)
	if err != nil {
		return problemOfSale(problemOfRead(err))
	}
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], show.SaleOf(&shown)))
	return nil
}

// openSale sets when a sale sells.
func (a *API) openSale(r *request) error {
	b, key, err := adminBody[openBody](a, r)
	if err != nil {
		return err
	}
	id, err := knownSaleID(r)
	if err != nil {
		return err
	}
	opening := sale.Opening{At: of(b.Opens).Time, Closes: of(b.Closes).Time}
	return a.changeSale(r, fasthttp.StatusOK, operate.OpenSale(id, opening, saleCall(r, key)))
}

// closeSale ends a sale.
func (a *API) closeSale(r *request) error {
	b, key, err := adminBody[closeBody](a, r)
	if err != nil {
		return err
	}
	id, err := knownSaleID(r)
	if err != nil {
		return err
	}
	return a.changeSale(r, fasthttp.StatusOK, operate.CloseSale(id, of(b.Closes).Time, saleCall(r, key)))
}

// moveStock fills a sale, or empties it.
func (a *API) moveStock(r *request, move func(id uint32, by sale.Call) *operate.SaleChange) error {
	key, err := a.admitKeyed(r, admins)
	if err != nil {
		return err
	}
	id, err := knownSaleID(r)
	if err != nil {
		return err
	}
	return a.changeSale(r, fasthttp.StatusOK, move(id, saleCall(r, string(key))))
}

// saleCall is a call of the admin of a request.
func saleCall(r *request, key string) sale.Call { return sale.Call{User: r.who.Subject, Key: key} }

// knownSaleID is the sale in the path. An id that cannot be is as unknown as one that is not.
func knownSaleID(r *request) (uint32, error) {
	id, err := saleID([]byte(r.param("sale_id")))
	if err != nil {
		return 0, &problem.Problem{Kind: problem.UnknownSale}
	}
	return id, nil
}

// changeSale changes a sale, and answers with the sale after the change.
func (a *API) changeSale(r *request, status int, change *operate.SaleChange) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	s, err := change.Do(ctx, a.Sales)
	if change.Creates {
		for _, item := range s.Items {
			a.Known.Add(stock.Cell{SKU: item.SKU, Pool: change.Sale})
		}
	}
	if err != nil {
		return problemOfSale(err)
	}
	r.answerNamed(status, s.Replayed, appendView(r.out[:0], show.ChangedSale{Sale: show.SaleOf(&s), Changed: s.Changed}))
	return nil
}

// problemOfSale tells why a sale is not changed, or not wholly. It leaves to problemOf what other requests may meet too.
func problemOfSale(err error) error {
	told := func(kind *problem.Kind) error { return &problem.Problem{Kind: kind, Detail: err.Error()} }
	switch operate.SaleFaultOf(err) {
	case operate.SaleFaultPartly:
		return told(problem.PartlyDone)
	case operate.SaleFaultShut, operate.SaleFaultOverlap:
		return told(problem.Unavailable)
	case operate.SaleFaultNotFound:
		return &problem.Problem{Kind: problem.UnknownSale}
	case operate.SaleFaultValues:
		return told(problem.Malformed)
	case operate.SaleFaultNotLoaded:
		return told(problem.NotLoaded)
	case operate.SaleFaultShort:
		return told(problem.SoldOut)
	case operate.SaleFaultPlan, operate.SaleFaultCall:
		return told(problem.Mismatch)
	case operate.SaleFaultNotFilled, operate.SaleFaultNotClosed, operate.SaleFaultStale, operate.SaleFaultCell:
		return told(problem.SaleRefused)
	case operate.SaleFaultInTransit, operate.SaleFaultUnknown, operate.SaleFaultTransfer, operate.SaleFaultOther:
	}
	return err
}
