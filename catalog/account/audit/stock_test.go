package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account/audit"
	"sluice/core/event"
	"sluice/core/stock"
)

// adjusted is an event of an admin who adds 5 units to SKU 1001 and freezes it.
func adjusted(seq uint64) event.Event {
	return event.Event{
		Kind: event.KindAdjust, Reservation: stock.ReservationID{15: byte(seq)}, User: 3, Cell: stock.Cell{SKU: 1001}, Position: stock.Position{Epoch: 1, Seq: seq},
		Avail: 15, Held: 2, Sold: 1,
		Change: event.Change{Delta: 5, Fields: stock.FieldFrozen, Settings: stock.Settings{Frozen: true, Hold: time.Minute}, Reason: "a delivery"},
	}
}

func TestActsOnStock(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1764324000123)
	f := func(name string, e event.Event, want string) {
		t.Helper()
		a, of, ok := audit.StockAct(&e, at)
		got := ""
		if ok {
			got = fmt.Sprintf("%s %s %s %q %v %s %v", a.Actor, a.Act, a.Object, a.Why, of, a.Ref, a.Changes)
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	const ref = "stock:00000000000000000000000000000004:1.4"
	const when = "{at <nil> 2025-11-28T10:00:00.123Z "
	none := ""
	e := adjusted(4)
	f("an adjustment", e, `admin:3 stock.adjust sku:1001 "a delivery" products shard 0 `+ref+" ["+when+"0} {total 13 18 0} {frozen <nil> true 0}]")
	e.User, e.Cell = 0, stock.Cell{SKU: 5 << 52, Pool: 7, Bucket: 2}
	f("an operator's in a sale", e, `operator stock.adjust sku:22517998136852480 "a delivery" products shard 5 `+ref+" ["+when+"0} {sale_id <nil> 7 0} {bucket <nil> 2 0} {total 13 18 0} {frozen <nil> true 0}]")
	e = adjusted(4)
	e.Kind, e.Change.Fields, e.Change.Delta = event.KindTransferOut, 0, -5
	f("a half of a transfer", e, `admin:3 stock.transfer_out sku:1001 "a delivery" products shard 0 `+ref+" ["+when+"0} {total 23 18 0}]")
	e.Kind, e.Change.Delta = event.KindRebase, 0
	f("a repair", e, `admin:3 stock.repair sku:1001 "a delivery" products shard 0 `+ref+" ["+when+"0} {avail <nil> 15 0} {held <nil> 2 0} {sold <nil> 1 0}]")
	e.Reservation = stock.ReservationID{}
	f("a rebase that nobody has asked for", e, none)
	for _, kind := range []event.Kind{
		event.KindReserve, event.KindConfirm, event.KindRelease, event.KindExpire, event.KindDeduct, event.KindRevoke, event.KindReturn, event.KindExtend,
	} {
		e := adjusted(4)
		e.Kind, e.Quantity, e.Change = kind, 1, event.Change{}
		f(kind.String(), e, none)
	}
}

// TestStockIsWrittenDownOnce tells the acts of batches again and again, in every order.
func TestStockIsWrittenDownOnce(t *testing.T) {
	t.Parallel()
	d := one(t)
	var batches [][]byte
	for i := range 6 {
		b := event.Batch{Partition: 1, TimeMS: 1764324000123}
		for j := range 3 {
			e := adjusted(uint64(3*i + j + 1))
			if e.Cell.SKU += int64(i%2) << 52; j == 1 {
				e = event.Event{
					Kind: event.KindDeduct, Reservation: stock.ReservationID{1}, User: 9, Quantity: 1, Cell: e.Cell, Position: e.Position, Avail: 1, Sold: 1,
				}
			}
			b.Events = append(b.Events, e)
		}
		batches = append(batches, event.Append(nil, b))
	}
	names := func(i int) string { return fmt.Sprintf("0:%d", i) }
	tell := func(batches [][]byte) {
		t.Helper()
		if err := (audit.Log{}).Stock(t.Context(), d, batches, names); err != nil {
			t.Fatal(err)
		}
	}
	tell(batches[2:4])
	tell(batches)
	tell(batches[:3])
	if entries, found := verify(t, d); entries != 12 || len(found) != 0 {
		t.Errorf("%d entries, %v: want 12", entries, found)
	}
	of := func(object string) int { return len(search(t, d, audit.Filter{Object: object, Actor: "admin:3"}, 100)) }
	if a, b := of("sku:1001"), of(fmt.Sprintf("sku:%d", 1001+int64(1)<<52)); a != 6 || b != 6 {
		t.Errorf("%d and %d acts on the two SKUs, want 6 each", a, b)
	}
}

// TestWhatIsNoBatch is an act by itself, and what only a newer program can read waits for one.
func TestWhatIsNoBatch(t *testing.T) {
	t.Parallel()
	d := one(t)
	names := func(i int) string { return fmt.Sprintf("3:%d", 70+i) }
	good := event.Append(nil, event.Batch{Partition: 1, TimeMS: 1, Events: []event.Event{adjusted(1)}})
	for range 2 {
		if err := (audit.Log{}).Stock(t.Context(), d, [][]byte{good, good[:40], nil}, names); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := audit.NewReader(d).Search(t.Context(), audit.Filter{Act: "stock.unreadable"}, audit.Page{Limit: 10})
	if err != nil || len(found) != 2 || found[0].Object == found[1].Object || !strings.HasPrefix(found[0].Object, "events:3:7") {
		t.Errorf("%+v, %v", found, err)
	}
	newer := append([]byte{event.Version + 1}, good[1:]...)
	if err := (audit.Log{}).Stock(t.Context(), d, [][]byte{newer}, names); !errors.Is(err, event.ErrVersion) {
		t.Errorf("of a newer version: %v", err)
	}
	if entries, _ := verify(t, d); entries != 3 {
		t.Errorf("%d entries, want 3", entries)
	}
}
