package command

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/core/operate"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// If nobody knows whether a change was made, the error has the key under which to repeat it.
func TestUnknownChangeNamesItsKey(t *testing.T) {
	t.Parallel()
	model := sold(t)
	five := func(key string) cellChange {
		return cellChange{consent: Consent{Yes: true}, change: *operate.Adjust(stock.Cell{SKU: 1}, 5, 0, stock.Settings{}, "test", byCommand(key))}
	}
	change := five("")
	_, err := change.do(t.Context(), &Console{}, deskOf(silent{model}))
	if ExitCode(t.Context(), err) != ExitUnknown {
		t.Fatalf("without an answer: %v", err)
	}
	_, advice, _ := strings.Cut(err.Error(), "--key ")
	key, _, _ := strings.Cut(advice, ":")
	again := five(key)
	result, err := again.do(t.Context(), &Console{}, deskOf(model))
	if err != nil || result.Result != "replayed" || result.After.Avail != 15 {
		t.Errorf("repeated with the key %q: %+v, %v", key, result, err)
	}
}

// silent is a store that decides, and whose answers are lost.
type silent struct{ stock.Store }

func (s silent) Do(ctx context.Context, vectors ...*stock.Vector) {
	s.Store.Do(ctx, vectors...)
	for _, v := range vectors {
		v.Err = stock.ErrUnknown
	}
}

func TestReasonsAreHeldToPlainText(t *testing.T) {
	t.Parallel()
	for reason, ok := range map[string]bool{"größer, 葛 ❤️": true, "": false, "a\u009bb": false, "a\u202eb": false, "a\xff": false} {
		adjust := (&StockAdjust{Delta: 1, Reason: reason}).Validate()
		freeze := (&StockFreeze{Reason: reason}).Validate()
		for _, err := range []error{adjust, freeze} {
			if got := err == nil || !strings.Contains(err.Error(), "reason"); got != ok {
				t.Errorf("%q: %v", reason, err)
			}
		}
	}
}

func deskOf(store stock.Store) *operate.Desk {
	return &operate.Desk{Reader: store, Decide: operate.ByStore(store)}
}

// sold is a model with ten units of SKU 1.
func sold(t *testing.T) *memstock.Store {
	t.Helper()
	model := memstock.New(8, func() int64 { return time.Now().UnixMilli() })
	cell := stock.Cell{SKU: 1}
	made := stock.DoAll(t.Context(), model, stock.OpAdjust, []stock.Request{{
		ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(8), Cell: cell,
		Adjustment: &stock.Adjustment{
			Kind: stock.AdjustPlain, Create: true, Delta: 10, Reason: "test", Settings: stock.Settings{Hold: stock.HoldDefault},
		},
	}})[0]
	if made.Err != nil || made.Verdict != stock.VerdictOK {
		t.Fatalf("load: %v, %v", made.Verdict, made.Err)
	}
	return model
}

// Freezing a frozen SKU says that nothing changed, and writes nothing down.
func TestAChangeOfNothingSaysSo(t *testing.T) {
	t.Parallel()
	model := sold(t)
	seq := uint64(1)
	for _, step := range []struct {
		frozen, changed bool
		key             string
		dryRun          bool
	}{
		{frozen: false},
		{frozen: false, dryRun: true},
		{frozen: true, changed: true, dryRun: true},
		{frozen: true, changed: true},
		{frozen: true},
		{frozen: true, key: "k"},
		{frozen: false, changed: true},
	} {
		change := cellChange{consent: Consent{Yes: true, DryRun: step.dryRun}, change: *operate.Freeze(stock.Cell{SKU: 1}, step.frozen, "test", byCommand(step.key))}
		result, err := change.do(t.Context(), &Console{}, deskOf(model))
		if err != nil {
			t.Fatalf("%+v: %v", step, err)
		}
		var out strings.Builder
		result.print(&Console{Out: &out})
		document, _ := json.Marshal(result)
		says := strings.Contains(out.String(), "it is so already")
		if result.Changed != step.changed || says == step.changed || !strings.Contains(string(document), fmt.Sprintf(`"changed":%v`, step.changed)) {
			t.Errorf("%+v: %s%s", step, out.String(), document)
		}
		if !step.dryRun && (step.changed || step.key != "") {
			seq++
		}
		cells, _, err := model.Cells(t.Context(), []stock.Cell{{SKU: 1}})
		if err != nil || cells[0].Seq != seq {
			t.Errorf("%+v: event %d, want %d, %v", step, cells[0].Seq, seq, err)
		}
	}
}

// A closing that has passed would end selling at once: it is refused, and the way to do that is named.
func TestAdjustRefusesAClosingThatHasPassed(t *testing.T) {
	t.Parallel()
	model := sold(t)
	for in, ok := range map[time.Duration]bool{-time.Minute: false, 0: false, time.Hour: true} {
		settings := stock.Settings{ClosesAtMS: time.Now().Add(in).UnixMilli()}
		change := cellChange{consent: Consent{Yes: true}, change: *operate.Adjust(stock.Cell{SKU: 1}, 0, stock.FieldClosesAt, settings, "test", byCommand(""))}
		_, err := change.do(t.Context(), &Console{}, deskOf(model))
		if ok && err != nil || !ok && (ExitCode(t.Context(), err) != ExitUsage || !strings.Contains(err.Error(), "sluice stock freeze")) {
			t.Errorf("closing %v from now: %v", in, err)
		}
	}
}
