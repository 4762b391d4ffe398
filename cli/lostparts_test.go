package cli

import (
	"testing"

	"sluice/cli/command"
	"sluice/core/stock"
)

// A vetting does not see that a partition has lost its users' counts, or the record of a hold. A comparison reports both. A
// repair writes the counts anew, and gives the units of the hold back.
func TestLostPartsAreReportedAndRepaired(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	open := lived(t, d)
	d.comesToRest()
	h, counted, recorded := d.hand(), stock.Cell{SKU: 2}, stock.Cell{SKU: 1}
	id := open[recorded]
	for _, err := range []error{
		h.do("DEL", keyOf(counted.Partition(8), "buyers:0")).Error(),
		h.do("HDEL", keyOf(recorded.Partition(8), "res"), string(id[:])).Error(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	defer d.persister()()
	r := d.reconcile(command.ExitDrift)
	types := map[string]int{}
	for _, f := range r.Findings {
		types[f.SKU+" "+f.Type]++
	}
	if types["2 buyer_count"] == 0 || types["1 leaked_hold"] == 0 {
		t.Errorf("found %v", types)
	}
	d.mend(command.ExitDone)
	d.settled()
}
