package archive_test

import (
	"testing"
	"time"

	"sluice/core/archive"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// A checkpoint has the highest time of its events: that of the last one may be lower, where the clock of Redis stepped back.
func TestCheckpointKeepsTheHighestTime(t *testing.T) {
	t.Parallel()
	cell := stock.Cell{SKU: 7}
	f, err := archive.NewFold(ledger.Checkpoint{Cell: cell}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, ms := range []int64{2000, 1000} {
		e := ledger.Recorded{TimeMS: ms}
		e.Kind, e.Cell, e.Position, e.Avail = event.KindAdjust, cell, stock.Position{Epoch: 1, Seq: uint64(i) + 1}, int64(i)+1
		e.Change = event.Change{Delta: 1, Settings: stock.Settings{Hold: time.Minute}, Reason: "test"}
		if err := f.Apply(&e); err != nil {
			t.Fatal(err)
		}
	}
	if at := f.Checkpoint(); at.Seq != 2 || at.TimeMS != 2000 {
		t.Errorf("%+v, want the time 2000 at seq 2", at)
	}
}
