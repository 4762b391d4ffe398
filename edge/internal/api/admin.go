package api

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/core/ids"
	"sluice/core/operate"
	"sluice/core/problem"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// adminBody reads the body of an admin's write, the key, and the admin. It copies the key, because ids that outlive the
// request contain it. If no member of a body is needed, the body may be missing.
func adminBody[B any](a *API, r *request) (b B, key string, err error) {
	return keyedBody[B](a, r, admins)
}

// keyedBody is adminBody for those who may.
func keyedBody[B any](a *API, r *request, may roles) (b B, key string, err error) {
	text, err := r.body()
	if errors.Is(err, errBodyMissing) && mayBeMissing[B]() {
		text, err = []byte("{}"), nil
	}
	if err != nil {
		return b, "", err
	}
	sent, err := r.head.key(&r.keyBuf)
	if err != nil {
		return b, "", err
	}
	if err := a.admit(r, may); err != nil {
		return b, "", err
	}
	b, err = decodeBody[B](text)
	return b, string(sent), err
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
	sku, ok := ids.Parse(r.param("sku_id"))
	if !ok {
		return 0, errNotLoaded
	}
	return sku, nil
}

// loadSKU makes a SKU's normal stock. Existing stock is changed by deltas only.
func (a *API) loadSKU(r *request) error {
	b, key, err := adminBody[loadBody](a, r)
	if err != nil {
		return err
	}
	settings, _ := b.values()
	a.warnOfReplicas(r, settings.Ack)
	sku, ok := ids.Parse(r.param("sku_id"))
	if !ok {
		return malformed("", "sku_id in the path: want digits, 1 to %d", int64(math.MaxInt64))
	}
	load := operate.Load(sku, b.Quantity.units, settings, string(b.Reason), byAdmin(r, stock.ScopeLoad, key))
	done, err := a.change(load)
	var p *problem.Problem
	if errors.As(err, &p) && p.Kind == problem.WrongState {
		return &problem.Problem{Kind: problem.WrongState, Detail: "the SKU is loaded: its stock is changed by adjustments, its settings by PATCH"}
	}
	if err != nil {
		return err
	}
	a.Known.Add(load.Cell)
	return a.answerChanged(r, fasthttp.StatusCreated, load.Cell, &done)
}

// showSKU shows all of a cell, as Redis has it now.
func (a *API) showSKU(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, admins); err != nil {
		return err
	}
	cell, err := r.cellOfQuery()
	if err != nil {
		return err
	}
	if cell.SKU, err = adminSKU(r); err != nil {
		return err
	}
	state, err := a.readCell(cell)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], show.CellOf(&state)))
	return nil
}

// changeSKU changes settings of a cell.
func (a *API) changeSKU(r *request) error {
	b, key, err := adminBody[changeBody](a, r)
	if err != nil {
		return err
	}
	settings, fields := b.values()
	a.warnOfReplicas(r, settings.Ack)
	sku, err := adminSKU(r)
	if err != nil {
		return err
	}
	cell := stock.Cell{SKU: sku, Pool: uint32(of(b.Sale))}
	change := operate.Adjust(cell, 0, fields, settings, string(b.Reason), byAdmin(r, stock.ScopeSettings, key))
	done, err := a.change(change)
	if err != nil {
		return err
	}
	return a.answerChanged(r, fasthttp.StatusOK, change.Cell, &done)
}

// adjustSKU changes the stock of a cell by a delta.
func (a *API) adjustSKU(r *request) error {
	b, key, err := adminBody[adjustBody](a, r)
	if err != nil {
		return err
	}
	sku, err := adminSKU(r)
	if err != nil {
		return err
	}
	cell := stock.Cell{SKU: sku, Pool: uint32(of(b.Sale))}
	change := operate.Adjust(cell, int64(b.Delta), 0, stock.Settings{}, string(b.Reason), byAdmin(r, stock.ScopeAdjust, key))
	done, err := a.change(change)
	if err != nil {
		return err
	}
	return a.answerChanged(r, fasthttp.StatusOK, change.Cell, &done)
}

// byAdmin is a call of the admin of a request. The endpoint has a scope of its own, because a key belongs to one.
func byAdmin(r *request, scope stock.Scope, key string) operate.Call {
	return operate.Call{User: r.who.Subject, Scope: scope, Key: key}
}

// change changes a cell. Its answer may lack the state of the cell after that.
func (a *API) change(c *operate.Change) (operate.Done, error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	var decided error // apart from earlier refusals: after a decision the outcome may be unknown
	desk := operate.Desk{Reader: a.Reader, Decide: func(_ context.Context, r *stock.Request) (operate.Decision, error) {
		var res batch.Result
		if res, decided = a.Decider.Do(stock.OpAdjust, *r); decided == nil {
			decided = a.refusalOf(r, &res)
		}
		return operate.Decision{Verdict: res.Verdict, Cell: res.Cell}, decided
	}}
	done, err := desk.Change(ctx, c)
	if err != nil && decided == nil {
		err = problemOfAct(err)
	}
	return done, err
}

// problemOfAct tells of a rule that refuses an act, in words of members.
func problemOfAct(err error) error {
	refused := new(operate.RefusedError)
	if !errors.As(err, &refused) {
		return problemOfRead(err)
	}
	switch refused.Rule {
	case operate.RuleNothing:
		return malformed("", "want at least one setting: %s", strings.Join(membersOf(cellSettings{}), ", "))
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

// answerChanged answers a change with its cell: as the decision left it, or, if that does not tell, as it is now.
func (a *API) answerChanged(r *request, status int, cell stock.Cell, done *operate.Done) error {
	state := done.After
	if !state.Loaded {
		var err error
		if state, err = a.readCell(cell); err != nil {
			return err
		}
	}
	r.answerNamed(status, done.Replayed, appendView(r.out[:0], show.ChangedCell{Cell: show.CellOf(&state), Changed: done.Changed}))
	return nil
}

// readCell is a cell as Redis has it now.
func (a *API) readCell(cell stock.Cell) (stock.CellState, error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	states, _, err := a.Reader.Cells(ctx, []stock.Cell{cell})
	if err != nil {
		return stock.CellState{}, problemOfRead(err)
	}
	if !states[0].Loaded {
		return stock.CellState{}, errNotLoaded
	}
	return states[0], nil
}

// transfer moves units of a SKU between its normal stock and a sale's, or between two sales'.
func (a *API) transfer(r *request) error {
	b, key, err := adminBody[transferBody](a, r)
	if err != nil {
		return err
	}
	move := operate.Transfer{
		Call: byAdmin(r, stock.ScopeTransfer, key), SKU: int64(b.SKU), From: uint32(of(b.From)), To: uint32(of(b.To)),
		Units: int64(b.Quantity), Reason: string(b.Reason),
	}
	t, err := move.Request()
	if err != nil {
		return problemOfAct(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.AdminTimeout)
	defer cancel()
	replayed, err := a.Transfer(ctx, t)
	if err != nil {
		return err
	}
	states, _, err := a.Reader.Cells(ctx, []stock.Cell{t.From, t.To})
	if err != nil {
		return problemOfRead(err)
	}
	r.answerWrite(fasthttp.StatusOK, replayed, appendView(r.out[:0], struct {
		From    show.Cell `json:"from"`
		To      show.Cell `json:"to"`
		Changed bool      `json:"changed"`
	}{show.CellOf(&states[0]), show.CellOf(&states[1]), !replayed}))
	return nil
}
