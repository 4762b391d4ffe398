package reconcile_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// A sweep that has no room for all halves of transfers says so: what it leaves out is unverified.
func TestTransfersLeftOutAreUnverified(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	cell := stock.Cell{SKU: 7}
	big := func(dst []byte, v uint64, bytes int) []byte {
		for i := bytes - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
		return dst
	}
	set := func(key, field string, value []byte) {
		t.Helper()
		key = fmt.Sprintf("{p%d}:%s", cell.Partition(partitions), key)
		if err := w.client.Do(t.Context(), w.client.B().Hset().Key(key).FieldValue().FieldValue(field, string(value)).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	value := big(big(big(big(big(big([]byte{1}, 10, 5), 0, 5), 0, 5), 5, 6), 10, 5), 1, 4)
	set("cells", string(cell.Append(nil)), event.AppendSettings(value, stock.Settings{}, 0))
	for n := uint64(1); n <= 3; n++ {
		var id stock.ReservationID
		binary.BigEndian.PutUint64(id[7:], n)
		record := big(big([]byte{1, byte(stock.StateAdjusted)}, n+1, 6), 0, 6)
		set("res", string(id[:]), cell.Append(big(big(big(record, 0, 8), 1, 3), 0, 4)))
	}
	s := w.sweeper(func(func(*event.Batch) error) error { return nil })
	for most, want := range map[int]int{3: 0, 2: 1} {
		s.SetTransitsMost(most)
		report, err := s.Sweep(t.Context(), reconcile.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		unread := report.Summary.Unread
		if len(unread) != want || want > 0 && !strings.Contains(unread[0].Error, "more than 2 records may be halves") {
			t.Errorf("room for %d of 3: %+v", most, unread)
		}
	}
}
