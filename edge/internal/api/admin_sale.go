package api

import (
	"context"

	"github.com/valyala/fasthttp"

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
	s, fields := b.values()
	a.warnOfReplicas(r, s.Ack)
	id, err := saleID([]byte(r.param("sale_id")))
	if err != nil {
		return err
	}
	if fields&stock.FieldHold == 0 {
		s = s.WithDefaults()
	}
	var allotments []sale.Allotment
	for _, i := range b.Items {
		allotments = append(allotments, sale.Allotment{SKU: int64(i.SKU), Quantity: int64(i.Quantity)})
	}
	return a.answerSale(r, fasthttp.StatusCreated, func(ctx context.Context) (sale.Sale, error) {
		made, err := a.Sales.Create(ctx, sale.Plan{
			ID: id, Name: string(b.Name), Limit: s.Limit, Hold: s.Hold, Ack: s.Ack, ShopperDeducts: s.ShopperDeducts, Items: allotments,
		})
		for _, item := range made.Items {
			a.Known.Add(stock.Cell{SKU: item.SKU, Pool: id})
		}
		return made, err
	})
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
		return problemOfRead(err)
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
	return a.answerSale(r, fasthttp.StatusOK, func(ctx context.Context) (sale.Sale, error) {
		return a.Sales.Open(ctx, id, sale.Call{User: r.who.Subject, Key: key}, sale.Opening{At: of(b.Opens).Time, Closes: of(b.Closes).Time})
	})
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
	return a.answerSale(r, fasthttp.StatusOK, func(ctx context.Context) (sale.Sale, error) {
		return a.Sales.Close(ctx, id, sale.Call{User: r.who.Subject, Key: key}, of(b.Closes).Time)
	})
}

// moveStock fills a sale, or empties it.
func (a *API) moveStock(r *request, move func(ctx context.Context, id uint32, by sale.Call) (sale.Sale, error)) error {
	key, err := a.admitKeyed(r, admins)
	if err != nil {
		return err
	}
	id, err := knownSaleID(r)
	if err != nil {
		return err
	}
	by := sale.Call{User: r.who.Subject, Key: string(key)}
	return a.answerSale(r, fasthttp.StatusOK, func(ctx context.Context) (sale.Sale, error) {
		return move(ctx, id, by)
	})
}

// knownSaleID is the sale in the path. An id that cannot be is as unknown as one that is not.
func knownSaleID(r *request) (uint32, error) {
	id, err := saleID([]byte(r.param("sale_id")))
	if err != nil {
		return 0, &problem.Problem{Kind: problem.UnknownSale}
	}
	return id, nil
}

// answerSale has a sale changed, and answers with what it is then.
func (a *API) answerSale(r *request, status int, do func(context.Context) (sale.Sale, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	s, err := do(ctx)
	if err != nil {
		return err
	}
	r.answerNamed(status, s.Replayed, appendView(r.out[:0], show.ChangedSale{Sale: show.SaleOf(&s), Changed: s.Changed}))
	return nil
}
