package truth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/bench/load"
	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// Each kind of event moves avail as its name says: what an event leaves there tells.
func TestEventsMoveTheirUnits(t *testing.T) {
	t.Parallel()
	for kind, want := range map[event.Kind]int64{ // taken, less what came back
		event.KindReserve: 3, event.KindDeduct: 3, event.KindConfirm: 0, event.KindExtend: 0,
		event.KindRelease: -3, event.KindExpire: -3, event.KindRevoke: -3, event.KindReturn: -3,
		event.KindAdjust: 0, event.KindTransferOut: 0, event.KindTransferIn: 0, event.KindRebase: 0,
	} {
		e := event.Event{Kind: kind, Quantity: 3}
		took, back := moved(&e)
		if took-back != want || took < 0 || back < 0 {
			t.Errorf("%v: %d units taken, %d back", kind, took, back)
		}
		if kind.Adjusts() {
			continue
		}
		if avail, _, _ := e.Before(); avail-e.Avail != want {
			t.Errorf("%v: %d units left avail, want %d", kind, avail-e.Avail, want)
		}
	}
}

// Whichever store has more, both of them and what shoppers were told must agree.
func TestStoresAreComparedBothWays(t *testing.T) {
	t.Parallel()
	cells := []stock.Cell{{SKU: 1}, {SKU: 2}}
	f := func(redis, mysql []int64, second load.Units, want string) {
		t.Helper()
		got := (&stores{redis, mysql}).compare(cells, []load.Units{{Accepted: 1}, second})
		if len(got) != min(1, len(want)) || len(got) > 0 && !strings.Contains(got[0], want) {
			t.Errorf("Redis %v, MySQL %v, shoppers %+v: %q, want %q", redis, mysql, second, got, want)
		}
	}
	two := load.Units{Accepted: 2}
	f([]int64{1, 2}, []int64{1, 2}, two, "")
	f([]int64{1, 3}, []int64{1, 2}, two, "SKU 2: Redis has given away 3 units, and MySQL has events of 2")
	f([]int64{1, 1}, []int64{1, 2}, two, "SKU 2: Redis has given away 1 units, and MySQL has events of 2")
	f(nil, []int64{1, 2}, two, "")
	f(nil, []int64{1, 3}, two, "SKU 2: 3 units were given away")
	f(nil, []int64{1, 1}, two, "SKU 2: 1 units were given away")
	f(nil, []int64{1, 3}, load.Units{Accepted: 2, Unknown: 1}, "")
	f(nil, []int64{1, 4}, load.Units{Accepted: 2, Unknown: 1}, "SKU 2: 4 units were given away")
}

// A sweep is of all cells. What it finds about others makes nothing wrong, and whatever it does not tell makes nothing right.
func TestSweepsThatDoNotTellAllMakeNothingRight(t *testing.T) {
	t.Parallel()
	j := &Judge{Cells: []stock.Cell{{SKU: 1}, {SKU: 2, Pool: 7}}}
	f := func(r reconcile.Report, wantWrong, wantUnread string) {
		t.Helper()
		wrong, unread := j.found(&r)
		if got := fmt.Sprint(wrong, unread); got != fmt.Sprint(slices.DeleteFunc([]string{wantWrong}, empty), slices.DeleteFunc([]string{wantUnread}, empty)) {
			t.Errorf("%+v: %s", r, got)
		}
	}
	of := func(findings ...reconcile.Finding) reconcile.Report { return reconcile.Report{Findings: findings} }
	f(of(), "", "")
	f(of(reconcile.Finding{Type: reconcile.Gap, SKU: 1, Units: 4}), "SKU 1: gap of 4 units: sluice reconcile --sku 1 tells more", "")
	f(of(reconcile.Finding{Type: reconcile.Gap, SKU: 3}, reconcile.Finding{Type: reconcile.Gap, SKU: 2}, reconcile.Finding{Type: reconcile.Gap, SKU: 1, Pool: 7}), "", "")
	f(reconcile.Report{Summary: reconcile.Summary{LeftOut: 1}}, "", "1 findings more are not listed, perhaps about these SKUs")
	f(reconcile.Report{Summary: reconcile.Summary{Unverified: 2}}, "", "2 cells could not be compared")
	f(reconcile.Report{Summary: reconcile.Summary{Unread: []reconcile.Unread{{Store: reconcile.InKafka, Error: "it is away"}}}}, "", "kafka could not be read: it is away")
}

func empty(s string) bool { return s == "" }
