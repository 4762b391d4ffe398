package api

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/operate"
	"sluice/core/problem"
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
	if err == nil {
		a.warnOfReplicas(r, d.settings.Ack)
	}
	return d, string(key), err
}

// warnOfReplicas tells an admin what is wrong with the replicas for the level that is set.
func (a *API) warnOfReplicas(r *request, level stock.Ack) {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	if warning, _ := operate.WarningOf(ctx, level, a.Reader); warning != "" {
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
	load := operate.Load(sku, d.quantity, d.settings, d.reason, byAdmin(r, stock.ScopeLoad, key))
	err = a.change(r, load)
	var p *problem.Problem
	if errors.As(err, &p) && p.Kind == problem.WrongState {
		return &problem.Problem{Kind: problem.WrongState, Detail: "the SKU is loaded: its stock is changed by adjustments, its settings by PATCH"}
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
	change := operate.Adjust(stock.Cell{SKU: sku, Pool: uint32(d.sale)}, 0, d.fields, d.settings, d.reason, byAdmin(r, stock.ScopeSettings, key))
	if err := a.change(r, change); err != nil {
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
	change := operate.Adjust(stock.Cell{SKU: sku, Pool: uint32(d.sale)}, d.delta, 0, stock.Settings{}, d.reason, byAdmin(r, stock.ScopeAdjust, key))
	if err := a.change(r, change); err != nil {
		return err
	}
	return a.answerCell(r, fasthttp.StatusOK)
}

// byAdmin is a call of the admin of a request. The endpoint has a scope of its own, because a key belongs to one.
func byAdmin(r *request, scope stock.Scope, key string) operate.Call {
	return operate.Call{User: r.who.Subject, Scope: scope, Key: key}
}

// change has a cell changed, and makes the change r.stock.
func (a *API) change(r *request, c *operate.Change) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	desk := operate.Desk{Reader: a.Reader}
	if err := desk.Check(ctx, c); err != nil {
		return problemOfAct(err)
	}
	r.stock = c.Request(a.Reader.Partitions())
	return a.decide(r, stock.OpAdjust)
}

// problemOfAct tells of a rule that refuses an act, in words of members.
func problemOfAct(err error) error {
	refused := new(operate.RefusedError)
	if !errors.As(err, &refused) {
		return problemOfRead(err)
	}
	switch refused.Rule {
	case operate.RuleNothing:
		return malformed("", "want at least one setting: %s", strings.Join(changeSchema.names[2:], ", "))
	case operate.RuleSaleWindow:
		return malformed("", "a sale's window is that of all its SKUs: "+
			"it is set by POST /admin/v1/sales/%d/open and .../close", refused.Cell.Pool)
	case operate.RuleNeverSells:
		return malformed("/closes_at", "want a time after opens_at, sent or set before")
	case operate.RuleOver:
		return malformed("/closes_at", "want a time to come, since this one has passed: frozen stops selling now")
	case operate.RuleRoom:
		return malformed("/delta", "the SKU would have more than %d units", stock.UnitsMax)
	case operate.RuleSameStock:
		return malformed("/to_sale_id", "want another stock than the one that the units come from")
	case operate.RuleLost, operate.RuleVerdict: // of those who foresee: an edge has vetted Redis, and asks it
	}
	return err
}

// answerCell answers with the cell of r.stock: as the decision left it, or as it is now.
func (a *API) answerCell(r *request, status int) error {
	state := &r.result.Cell
	if !state.Loaded {
		ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
		defer cancel()
		states, _, err := a.Reader.Cells(ctx, []stock.Cell{r.stock.Cell})
		if err != nil {
			return problemOfRead(err)
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
	move := operate.Transfer{
		Call: byAdmin(r, stock.ScopeTransfer, key), SKU: d.sku, From: uint32(d.fromSale), To: uint32(d.toSale),
		Units: d.quantity, Reason: d.reason,
	}
	t, err := move.Request()
	if err != nil {
		return problemOfAct(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	if r.replayed, err = a.Transfer(ctx, t); err != nil {
		return err
	}
	states, _, err := a.Reader.Cells(ctx, []stock.Cell{t.From, t.To})
	if err != nil {
		return problemOfRead(err)
	}
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], struct {
		From show.Cell `json:"from"`
		To   show.Cell `json:"to"`
	}{show.CellOf(&states[0]), show.CellOf(&states[1])}))
	return nil
}
