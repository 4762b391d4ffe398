package api

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/show"
	"sluice/core/stock"
)

// adminBody reads the body of an admin's write, the key, and who it is. The key is copied: it ends up
// in ids that outlive the request. Where a body needs no member, it may be missing.
func (a *API) adminBody(r *request, s *schema) (draft, string, error) {
	body, err := r.body()
	if errors.Is(err, errBodyMissing) && s.optional() {
		body, err = emptyBody, nil
	}
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
	if err == nil && d.fields&stock.FieldAck != 0 && d.settings.Ack == stock.AckReplica {
		a.warnOfReplicas(r)
	}
	return d, string(key), err
}

// warnOfReplicas tells an admin who sets the level replica that there is none.
func (a *API) warnOfReplicas(r *request) {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	warning, err := a.Reader.ReplicaWarning(ctx)
	if err != nil {
		warning = "it is not known whether Redis has replicas"
	}
	if warning != "" {
		r.ctx.Response.Header.SetCanonical(headerWarning, []byte(warning))
	}
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
	if err := checkWindow(d.settings); err != nil {
		return err
	}
	if d.fields&stock.FieldHold == 0 {
		d.settings.Hold = stock.HoldDefault
	}
	a.adjustment(r, stock.ScopeLoad, stock.Cell{SKU: sku}, key, &stock.Adjustment{
		Create: true, Delta: d.quantity, Settings: d.settings, Reason: d.reason,
	})
	if d.settings.ClosesAtMS != 0 {
		err := a.precheck(r, func(now *stock.CellState, nowMS int64) error {
			if now.Loaded {
				return nil
			}
			return checkClosing(d.settings, nowMS)
		})
		if err != nil {
			return err
		}
	}
	err = a.decide(r, stock.OpAdjust)
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
	a.adjustment(r, stock.ScopeSettings, stock.Cell{SKU: sku, Pool: uint32(d.sale)}, key, &stock.Adjustment{
		Fields: d.fields, Settings: d.settings, Reason: d.reason,
	})
	if d.fields&(stock.FieldOpensAt|stock.FieldClosesAt) != 0 {
		err := a.precheck(r, func(now *stock.CellState, nowMS int64) error {
			after := now.With(d.fields, d.settings)
			if err := checkWindow(after); err != nil || after.ClosesAtMS == now.ClosesAtMS {
				return err
			}
			return checkClosing(after, nowMS)
		})
		if err != nil {
			return err
		}
	}
	if err := a.decide(r, stock.OpAdjust); err != nil {
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
	a.adjustment(r, stock.ScopeAdjust, stock.Cell{SKU: sku, Pool: uint32(d.sale)}, key, &stock.Adjustment{Delta: d.delta, Reason: d.reason})
	if d.delta > 0 {
		err := a.precheck(r, func(now *stock.CellState, _ int64) error {
			if !now.HasRoom(d.delta) {
				return malformed("/delta", "the SKU would have more than %d units", stock.UnitsMax)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := a.decide(r, stock.OpAdjust); err != nil {
		return err
	}
	return a.answerCell(r, fasthttp.StatusOK)
}

// adjustment makes r.stock an adjustment. The admin is part of its identity, and of its event; so is the
// endpoint of its identity, because a key belongs to one.
func (a *API) adjustment(r *request, scope stock.Scope, cell stock.Cell, key string, change *stock.Adjustment) {
	change.Kind = stock.AdjustPlain
	admin := r.who.Subject
	identity := stock.Identity{User: admin, Route: stock.OpAdjust, Cell: cell, Scope: scope, Key: key}
	r.stock = stock.Request{
		ID: identity.ID(a.Reader.Partitions()), Cell: cell, User: admin, Fingerprint: change.Fingerprint(), Adjustment: change,
	}
}

// precheck checks r.stock against its cell, and Redis' clock, in what a script takes for granted. The cell may have changed
// before the script sees it, but only by another admin. An adjustment that was made already is not
// checked: it has its answer.
func (a *API) precheck(r *request, check func(now *stock.CellState, nowMS int64) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	made, _, err := a.Reader.Reservations(ctx, []stock.ReservationID{r.stock.ID})
	if err != nil {
		return readFault(err)
	}
	if made[0].State != stock.StateNone {
		return nil
	}
	states, nowMS, err := a.Reader.Cells(ctx, []stock.Cell{r.stock.Cell})
	if err != nil {
		return readFault(err)
	}
	return check(&states[0], nowMS)
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
	r.answerNamed(status, appendView(r.out[:0], show.CellOf(state)))
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
		Units: d.quantity, User: r.who.Subject, Scope: stock.ScopeTransfer, Key: key, Reason: d.reason,
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	if r.replayed, err = a.Transfer(ctx, t); err != nil {
		return err
	}
	states, _, err := a.Reader.Cells(ctx, []stock.Cell{t.From, t.To})
	if err != nil {
		return readFault(err)
	}
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], struct {
		From show.Cell `json:"from"`
		To   show.Cell `json:"to"`
	}{show.CellOf(&states[0]), show.CellOf(&states[1])}))
	return nil
}
