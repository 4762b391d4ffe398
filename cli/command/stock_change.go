package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sluice/core/operate"
	"sluice/core/show"
	"sluice/core/stock"
)

// cellChange is a change of one cell.
type cellChange struct {
	what    string // adjust, freeze or unfreeze
	change  operate.Change
	consent Consent
}

// changed is the result of a change.
type changed struct {
	SKU    show.ID `json:"sku_id"`
	Sale   show.ID `json:"sale_id,omitzero"`
	Key    string  `json:"key,omitempty"`
	Result string  `json:"result"` // ok, replayed (the key was used before; nothing changed now) or dry_run
	// Changed is true if the change did anything. In a dry run it is true if the change would.
	Changed bool      `json:"changed"`
	Before  show.Cell `json:"before"`
	After   show.Cell `json:"after"`

	done operate.Done // the views are made from it
}

func changedBy(cell stock.Cell, done operate.Done, result string) *changed {
	if done.Replayed {
		result = "replayed"
	}
	return &changed{
		SKU: show.ID(cell.SKU), Sale: show.ID(cell.Pool), Key: done.Key, Result: result, Changed: done.Changed,
		Before: show.CellOf(&done.Before), After: show.CellOf(&done.After), done: done,
	}
}

func (x *cellChange) run(ctx context.Context, c *Console, w *Writer, out Output) error {
	if err := x.change.Validate(); err != nil {
		return actFault(err)
	}
	if err := x.consent.check(c); err != nil {
		return err
	}
	o, err := w.target(ctx, c, x.consent.DryRun, false)
	if err != nil {
		return err
	}
	o.warnOfReplicas(ctx, c, x.change.Adjustment.Settings.Ack)
	result, err := x.do(ctx, c, o.desk())
	if err := errors.Join(err, o.Close()); err != nil {
		return err
	}
	if out.json() {
		return c.JSON(result)
	}
	result.print(c)
	return nil
}

// desk changes cells, unless Redis lacks events of them that MySQL has.
func (o *Opened) desk() *operate.Desk {
	return &operate.Desk{Reader: o.Stock, Decide: operate.ByStore(o.Stock), Known: func(ctx context.Context, cell stock.Cell) (stock.Position, error) {
		row, err := o.Books().Cell(ctx, cell)
		switch {
		case err != nil:
			return stock.Position{}, fmt.Errorf("read MySQL: %w", err)
		case row == nil:
			return stock.Position{}, nil
		}
		return row.Position(), nil
	}}
}

// do says what the change would do, asks, and makes it.
func (x *cellChange) do(ctx context.Context, c *Console, desk *operate.Desk) (*changed, error) {
	cell := x.change.Cell
	foreseen, err := desk.Foresee(ctx, x.change)
	if err != nil {
		return nil, actFault(err)
	}
	if x.consent.DryRun {
		if err := foreseen.Rehearse(); err != nil {
			return nil, actFault(err)
		}
		return changedBy(cell, foreseen.Done, "dry_run"), nil
	}
	if !foreseen.Idle() {
		question := fmt.Sprintf("About to %s %v: %s", x.what, cell, strings.Join(differences(&foreseen.Done), "; "))
		if err := x.consent.ask(ctx, c, question, strconv.FormatInt(cell.SKU, 10)); err != nil {
			return nil, err
		}
	}
	done, err := foreseen.Do(ctx)
	if errors.Is(err, stock.ErrUnknown) {
		return nil, fmt.Errorf("%w\nRepeat the command with --key %s: it happens once", err, done.Key)
	}
	if err != nil {
		return nil, actFault(err)
	}
	return changedBy(cell, done, "ok"), nil
}

// actFault gives a refusal its exit code, and a text with the names of flags.
func actFault(err error) error {
	if errors.Is(err, stock.ErrProtocol) {
		return usage(err)
	}
	r := new(operate.RefusedError)
	if !errors.As(err, &r) {
		return err
	}
	switch r.Rule {
	case operate.RuleNothing:
		return usage(errors.New("nothing to change: give --delta or a setting"))
	case operate.RuleSaleWindow:
		return usage(errors.New("a sale's window is that of all its SKUs: it is set by sluice sale open and sluice sale close"))
	case operate.RuleNeverSells:
		return usage(fmt.Errorf("opens-at, closes-at: %v would never sell: %s", r.Cell, windowText(r.After.OpensAtMS, r.After.ClosesAtMS)))
	case operate.RuleOver:
		return usage(fmt.Errorf("closes-at: %s has passed: give a time to come; sluice stock freeze stops selling now", timeText(r.After.ClosesAtMS)))
	case operate.RuleRoom:
		return refused(fmt.Errorf("delta: %v has %s units and would have more than %s", r.Cell, number(r.Before.Total), number(stock.UnitsMax)))
	case operate.RuleLost:
		return fmt.Errorf("%v: MySQL knows events that Redis has lost. Bring them back before you change it: sluice doctor says what is missing", r.Cell)
	case operate.RuleVerdict:
		if r.Verdict == stock.VerdictNotLoaded {
			return notFound(fmt.Errorf("%v is not loaded", r.Cell))
		}
		return refused(fmt.Errorf("%v: %s", r.Cell, explain(r.Verdict)))
	case operate.RuleSameStock:
	}
	return refused(err)
}

// differences lists what a change does, one line each.
func differences(done *operate.Done) []string {
	var lines []string
	line := func(name, before, after string) {
		if before != after {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", name, before, after))
		}
	}
	b, a := &done.Before, &done.After
	line("avail", number(b.Avail), number(a.Avail))
	line("total", number(b.Total), number(a.Total))
	line("limit", limitText(b.Limit), limitText(a.Limit))
	line("hold", b.Hold.String(), a.Hold.String())
	line("extend max", b.ExtendMax.String(), a.ExtendMax.String())
	line("window", windowText(b.OpensAtMS, b.ClosesAtMS), windowText(a.OpensAtMS, a.ClosesAtMS))
	line("acknowledge", b.Ack.String(), a.Ack.String())
	line("flags", flagsText(b), flagsText(a))
	return lines
}

func (r *changed) print(c *Console) {
	title := cellTitle(r.SKU, r.Sale)
	switch {
	case r.Result == "replayed":
		c.Printf("%s: this change was made before, under the key %s; nothing changed now\n", title, r.Key)
		return
	case !r.Changed && r.Result == "dry_run":
		c.Printf("%s would not change (dry run): it is so already\n", title)
		return
	case !r.Changed:
		c.Printf("%s: nothing changed: it is so already\n", title)
		return
	case r.Result == "dry_run":
		c.Printf("%s would change (dry run):\n", title)
	default:
		c.Printf("%s %s:\n", title, c.paint(green, "changed"))
	}
	for _, line := range differences(&r.done) {
		c.Printf("  %s\n", line)
	}
}
