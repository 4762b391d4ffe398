package api

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/stock"
)

// adminBody reads the body of an admin's write, the key, and who it is. The key is copied: it ends up
// in ids that outlive the request.
func (a *API) adminBody(r *request, s *schema) (draft, string, error) {
	body, err := r.body()
	if err != nil {
		return draft{}, "", err
	}
	key, err := r.head.key(&r.keyBuf)
	if err != nil {
		return draft{}, "", err
	}
	if err := a.admit(r, admins); err != nil {
		return draft{}, "", err
	}
	d, err := s.decode(&r.scan, body)
	return d, string(key), err
}

// adminSKU is the SKU in the path.
func adminSKU(r *request) (int64, error) {
	sku, ok := auth.ParseID(r.param("sku_id"))
	if !ok {
		return 0, errNotLoaded
	}
	return sku, nil
}

// loadSKU makes a SKU's normal stock. What is there already is changed by deltas only.
func (a *API) loadSKU(r *request) error {
	d, key, err := a.adminBody(r, loadSchema)
	if err != nil {
		return err
	}
	sku, ok := auth.ParseID(r.param("sku_id"))
	if !ok {
		return malformed("", "sku_id in the path: want digits, 1 to %d", int64(math.MaxInt64))
	}
	if err := d.window(); err != nil {
		return err
	}
	if d.fields&stock.FieldHold == 0 {
		d.settings.Hold = stock.HoldDefault
	}
	err = a.adjust(r, stock.Cell{SKU: sku}, key, &stock.Adjustment{
		Create: true, Delta: d.quantity, Settings: d.settings, Reason: d.reason,
	})
	var f *fault
	if errors.As(err, &f) && f.code == codeWrongState {
		return &fault{code: codeWrongState, detail: "the SKU is loaded: its stock is changed by adjustments, its settings by PATCH"}
	}
	if err != nil {
		return err
	}
	a.Known.Add(stock.Cell{SKU: sku})
	return a.answerCell(r, fasthttp.StatusCreated)
}

// showSKU shows all of a cell, as Redis has it now.
func (a *API) showSKU(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, admins); err != nil {
		return err
	}
	var cell stock.Cell
	var err error
	for _, p := range r.query {
		if cell.Pool, err = saleID(p.value); err != nil {
			return err
		}
	}
	if cell.SKU, err = adminSKU(r); err != nil {
		return err
	}
	r.stock.Cell = cell
	r.result.Cell = stock.CellState{}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	return a.answerCell(r, fasthttp.StatusOK)
}

// changeSKU changes settings of a cell.
func (a *API) changeSKU(r *request) error {
	d, key, err := a.adminBody(r, changeSchema)
	if err != nil {
		return err
	}
	sku, err := adminSKU(r)
	if err != nil {
		return err
	}
	if d.fields == 0 {
		return malformed("", "want at least one setting: %s", strings.Join(changeSchema.names[2:], ", "))
	}
	if d.sale != 0 && d.fields&(stock.FieldOpensAt|stock.FieldClosesAt) != 0 {
		return malformed("", "a sale's window is that of all its SKUs: "+
			"it is set by POST /admin/v1/sales/%d/open and .../close", d.sale)
	}
	if err := d.window(); err != nil {
		return err
	}
	err = a.adjust(r, stock.Cell{SKU: sku, Pool: uint32(d.sale)}, key, &stock.Adjustment{
		Fields: d.fields, Settings: d.settings, Reason: d.reason,
	})
	if err != nil {
		return err
	}
	return a.answerCell(r, fasthttp.StatusOK)
}

// adjustSKU changes the stock of a cell by a delta.
func (a *API) adjustSKU(r *request) error {
	d, key, err := a.adminBody(r, adjustSchema)
	if err != nil {
		return err
	}
	sku, err := adminSKU(r)
	if err != nil {
		return err
	}
	cell := stock.Cell{SKU: sku, Pool: uint32(d.sale)}
	if err := a.roomFor(cell, d.delta); err != nil {
		return err
	}
	if err := a.adjust(r, cell, key, &stock.Adjustment{Delta: d.delta, Reason: d.reason}); err != nil {
		return err
	}
	return a.answerCell(r, fasthttp.StatusOK)
}

// roomFor checks that a cell can hold so many units more, which a script takes for granted. The cell
// may be read late, but units come by admins only.
func (a *API) roomFor(cell stock.Cell, delta int64) error {
	if delta <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	states, _, err := a.Reader.Cells(ctx, []stock.Cell{cell})
	if err != nil {
		return readFault(err)
	}
	if states[0].Loaded && delta > stock.UnitsMax-states[0].Total {
		return malformed("/delta", "the SKU would have more than %d units", stock.UnitsMax)
	}
	return nil
}

// adjust decides an adjustment. The admin is part of its identity, and of its event.
func (a *API) adjust(r *request, cell stock.Cell, key string, change *stock.Adjustment) error {
	change.Kind = stock.AdjustPlain
	admin := r.who.Subject
	r.stock = stock.Request{
		ID:   stock.Identity{User: admin, Route: stock.OpAdjust, Cell: cell, Key: key}.ID(a.Reader.Partitions()),
		Cell: cell, User: admin, Fingerprint: fingerprint(change), Adjustment: change,
	}
	return a.decide(r, stock.OpAdjust)
}

// answerCell answers with the cell of r.stock: as the decision left it, or as it is now.
func (a *API) answerCell(r *request, status int) error {
	state := &r.result.Cell
	if !state.Loaded {
		ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
		defer cancel()
		states, _, err := a.Reader.Cells(ctx, []stock.Cell{r.stock.Cell})
		if err != nil {
			return readFault(err)
		}
		if state = &states[0]; !state.Loaded {
			return errNotLoaded
		}
	}
	r.answer(status, appendCell(r.out[:0], state))
	return nil
}

// transfer moves units of a SKU between its normal stock and a sale's, or between two sales'.
func (a *API) transfer(r *request) error {
	d, key, err := a.adminBody(r, transferSchema)
	if err != nil {
		return err
	}
	if d.fromSale == d.toSale {
		return malformed("/to_sale_id", "want another stock than the one that the units come from")
	}
	t := stock.TransferRequest{
		From:  stock.Cell{SKU: d.sku, Pool: uint32(d.fromSale)},
		To:    stock.Cell{SKU: d.sku, Pool: uint32(d.toSale)},
		Units: d.quantity, User: r.who.Subject, Key: key, Reason: d.reason,
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	if err := a.Transfer(ctx, t); err != nil {
		return err
	}
	states, _, err := a.Reader.Cells(ctx, []stock.Cell{t.From, t.To})
	if err != nil {
		return readFault(err)
	}
	out := appendCell(append(r.out[:0], `{"from":`...), &states[0])
	out = appendCell(append(out, `,"to":`...), &states[1])
	r.answer(fasthttp.StatusOK, append(out, '}'))
	return nil
}
