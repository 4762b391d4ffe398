package command

import (
	"strings"
	"testing"
	"time"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// Whoever does not know whether a change was made is told the key under which to repeat it.
func TestUnknownChangeNamesItsKey(t *testing.T) {
	t.Parallel()
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
	lost := &failing{Store: model, fail: func(int) (error, bool) { return stock.ErrUnknown, true }}
	change := cellChange{sku: 1, consent: Consent{Yes: true}, adjustment: stock.Adjustment{Kind: stock.AdjustPlain, Delta: 5, Reason: "test"}}
	_, err := change.do(t.Context(), &Console{}, lost, stock.Mark{})
	if ExitCode(err) != ExitUnknown {
		t.Fatalf("without an answer: %v", err)
	}
	_, advice, _ := strings.Cut(err.Error(), "--key ")
	key, _, _ := strings.Cut(advice, ":")
	again := cellChange{sku: 1, consent: Consent{Yes: true}, key: key, adjustment: change.adjustment}
	result, err := again.do(t.Context(), &Console{}, model, stock.Mark{})
	if err != nil || result.Result != "replayed" || result.After.Avail != 15 {
		t.Errorf("repeated with the key %q: %+v, %v", key, result, err)
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
