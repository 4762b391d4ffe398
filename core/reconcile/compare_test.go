package reconcile_test

import (
	"testing"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	at := func(epoch uint32, seq uint64, avail, held int64) *reconcile.State {
		return &reconcile.State{
			Position: stock.Position{Epoch: epoch, Seq: seq},
			Balances: stock.Balances{Avail: avail, Held: held, Total: avail + held},
		}
	}
	for _, c := range []struct {
		name         string
		redis, mysql *reconcile.State
		want         reconcile.Difference
	}{
		{"nobody knows it", nil, nil, reconcile.Difference{Status: "missing", Class: "in_sync"}},
		{"not in MySQL yet", at(1, 1, 5, 0), nil, reconcile.Difference{Status: "missing", Class: "in_flight"}},
		{"Redis has lost it", nil, at(1, 1, 5, 0), reconcile.Difference{Status: "missing", Class: "drift"}},
		{"the same", at(1, 4, 3, 2), at(1, 4, 3, 2), reconcile.Difference{Status: "in_sync", Class: "in_sync"}},
		{"other balances at one place", at(1, 4, 3, 2), at(1, 4, 2, 3), reconcile.Difference{Status: "drift", Class: "drift"}},
		{"other total at one place", at(1, 4, 3, 2), at(1, 4, 4, 2), reconcile.Difference{Status: "drift", Class: "drift"}},
		{"three events under way", at(1, 7, 0, 5), at(1, 4, 3, 2), reconcile.Difference{Status: "behind", Class: "in_flight", Behind: 3}},
		{"under way, the balances came back", at(1, 6, 3, 2), at(1, 4, 3, 2), reconcile.Difference{Status: "behind", Class: "in_flight", Behind: 2}},
		{"behind by an epoch", at(2, 1, 3, 2), at(1, 9, 3, 2), reconcile.Difference{Status: "behind", Class: "in_flight"}},
		{"Redis lost the last event", at(1, 3, 3, 2), at(1, 4, 2, 3), reconcile.Difference{Status: "ahead", Class: "drift"}},
		{"Redis lost it, the balances are the same", at(1, 3, 3, 2), at(1, 4, 3, 2), reconcile.Difference{Status: "ahead", Class: "drift"}},
		{"Redis lost an epoch", at(1, 9, 3, 2), at(2, 1, 3, 2), reconcile.Difference{Status: "ahead", Class: "drift"}},
	} {
		if got := reconcile.Compare(c.redis, c.mysql); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
