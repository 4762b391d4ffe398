package cli

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sluice/cli/command"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// mended is the JSON of a repair.
type mended struct {
	reported
	Plan struct {
		Digest string
		Units  int64
		Does   int
		Steps  []step
	}
	Results []step
}

type step struct {
	ID      string `json:"step_id"`
	SKU     string `json:"sku_id"`
	Type    string
	Repair  string
	Units   int64
	Refused string
	Outcome string
	Said    string
	By      string
	Seq     uint64 `json:"event_seq"`
}

// became returns the results of the steps, one a line.
func (m *mended) became() []string {
	lines := []string{}
	for _, s := range m.Results {
		lines = append(lines, fmt.Sprintf("%s: %s, %s", s.SKU, s.Repair, s.Outcome))
	}
	slices.SortFunc(lines, bySKU)
	return lines
}

// mend has the plan of what differs carried out.
func (d *deployment) mend(code int, more ...string) mended {
	d.t.Helper()
	return into[mended](d.run(append([]string{"reconcile", "-o", "json", "--repair", "--apply", "--reason", "test", "--by", "me", "--yes"}, more...)...).want(code))
}

// plan makes a plan, which changes nothing.
func (d *deployment) plan(code int, more ...string) mended {
	d.t.Helper()
	return into[mended](d.run(append([]string{"reconcile", "-o", "json", "--repair"}, more...)...).want(code))
}

// hands has some SKUs with reservations in all stores, and a persister that runs.
type hands struct {
	*deployment
	*hand

	held, sold, free map[int64]stock.ReservationID
	stop             func()
}

func newHands(t *testing.T, skus int64) *hands {
	t.Helper()
	return newHandsOn(t, newDeployment(t), skus)
}

func newHandsOn(t *testing.T, d *deployment, skus int64) *hands {
	t.Helper()
	d.run("migrate").want(command.ExitDone)
	d.runWith(stockFile("sku_id,quantity,limit", int(skus), "20,5"), "stock", "load", "--yes").want(command.ExitDone)
	h := &hands{d, d.hand(), map[int64]stock.ReservationID{}, map[int64]stock.ReservationID{}, map[int64]stock.ReservationID{}, nil}
	for sku := int64(1); sku <= skus; sku++ {
		cell := stock.Cell{SKU: sku}
		h.held[sku], h.sold[sku], h.free[sku] = d.reserve(cell, 1, "held"), d.reserve(cell, 2, "sold"), d.reserve(cell, 3, "free")
		d.settle(stock.OpConfirm, cell, h.sold[sku])
		d.settle(stock.OpRelease, cell, h.free[sku])
	}
	h.stop = d.persister()
	d.settled()
	return h
}

func (h *hands) cell(sku int64, change func(value []byte)) {
	c := stock.Cell{SKU: sku}
	value := h.get(cellsOf(c), string(c.Append(nil)))
	change(value)
	h.set(cellsOf(c), string(c.Append(nil)), value)
}

func (h *hands) record(sku int64, id stock.ReservationID, change func(value []byte)) {
	value := h.get(resOf(stock.Cell{SKU: sku}), string(id[:]))
	change(value)
	h.set(resOf(stock.Cell{SKU: sku}), string(id[:]), value)
}

// buyer sets the count of a user of a SKU.
func (h *hands) buyer(sku int64, user uint16, units byte) {
	c := stock.Cell{SKU: sku}
	h.set(fmt.Sprintf("{p%d}:buyers:0", c.Partition(8)), string(binary.BigEndian.AppendUint64(c.Append(nil), uint64(user))), []byte{0, 0, units})
}

// refusedEvent takes an event out of the ledger, and keeps it as a dead letter.
func (h *hands) refusedEvent(sku int64, seq uint64) {
	h.hand.t.Helper()
	var data []byte
	cell := stock.Cell{SKU: sku}
	at := ledger.Place{Cell: cell, At: stock.Position{Epoch: 1, Seq: seq}}
	err := ledger.New(h.db, nil).Moments().EventsOf(h.ctx, []ledger.Place{at}, func(e *ledger.Recorded) {
		data = event.Append(nil, event.Batch{Partition: cell.Partition(8), TimeMS: e.TimeMS, Events: []event.Event{e.Event}})
	})
	if err != nil || data == nil {
		h.hand.t.Fatal(err)
	}
	h.sql("DELETE FROM ledger WHERE sku_id = ? AND seq = ?", sku, seq)
	h.sql(`INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data)
		VALUES (?, 'refused', 'why', ?, 0, 0, 1, ?, ?)`, fmt.Sprintf("%032d", sku), sku, seq, data)
}

// halfBack moves three units of SKU 11 back from sale 7, two minutes ago, and is cut off before they arrive. persisted waits
// until MySQL has the half that was done.
func (h *hands) halfBack(persisted func(out stock.ReservationID)) stock.TransferRequest {
	h.hand.t.Helper()
	back := stock.TransferRequest{From: stock.Cell{SKU: 11, Pool: 7}, To: stock.Cell{SKU: 11}, Units: 3, Scope: stock.ScopeSaleMove, Key: "sale 7 move 1"}
	out, _ := back.IDs(8)
	done := stock.DoAll(h.ctx, h.store(), stock.OpAdjust, []stock.Request{{
		ID: out, Cell: back.From, Fingerprint: stock.FingerprintOf(int64(stock.AdjustTransferOut), -3),
		Adjustment: &stock.Adjustment{Kind: stock.AdjustTransferOut, Delta: -3, Reason: "half"},
	}})[0]
	if done.Err != nil || done.Verdict != stock.VerdictOK {
		h.hand.t.Fatalf("transfer out: %+v", done)
	}
	persisted(out)
	h.sql("UPDATE sale_items SET moving_units = -3, moving_since_ms = (SELECT MAX(redis_ms) FROM ledger) WHERE sale_id = 7")
	h.sql("UPDATE ledger SET redis_ms = redis_ms - 120000 WHERE reservation_id = ?", out[:])
	return back
}

// One command puts right all changes by hand. Then everything is in sync, and applying again does nothing.
func TestRepairPutsRightWhatIsChangedByHand(t *testing.T) {
	t.Parallel()
	h := newHands(t, 12)
	defer h.stop()
	h.run("sale", "create", "7", "--name", "summer", "--item", "11:4", "--yes").want(command.ExitDone)
	h.settled()
	h.halfBack(func(stock.ReservationID) { h.settled() })

	heldBy := func(sku int64) []byte { return h.get(resOf(stock.Cell{SKU: sku}), string(at(h.held[sku])))[:2] } // the form, the state, and whether it counts
	counts := heldBy(1)
	h.del(resOf(stock.Cell{SKU: 1}), string(at(h.held[1])))
	h.record(2, h.held[2], func(v []byte) { v[1] = 3 }) // released, and its units are still held
	another := h.held[3]
	another[9] ^= 1
	h.set(resOf(stock.Cell{SKU: 3}), string(another[:]), withUser(h.get(resOf(stock.Cell{SKU: 3}), string(at(h.held[3]))), 9))
	h.record(4, h.held[4], func(v []byte) { v[24] += 2 })          // of two units more
	h.record(5, h.free[5], func(v []byte) { v[1] = 1 | v[1]&128 }) // held again
	h.buyer(6, 2, 3)
	h.buyer(7, 2, 0)
	h.sql("UPDATE product_inventories SET available_stock = available_stock - 4, sold_stock = sold_stock + 4 WHERE sku_id = 8 AND pool = 0")
	h.sql("UPDATE reservations SET state = 'released' WHERE reservation_id = ?", at(h.held[8]))
	h.sql("DELETE FROM reservations WHERE reservation_id = ?", at(h.sold[8]))
	h.sql("DELETE FROM ledger WHERE sku_id = 9 AND seq BETWEEN 5 AND 6")
	h.refusedEvent(10, 6)
	h.record(12, h.held[12], func(v []byte) { copy(v[8:14], []byte{1, 0, 0, 0, 0, 0}) }) // a deadline of long ago, which no list has

	before := h.plan(command.ExitDrift)
	if before.Plan.Does == 0 || len(before.Results) > 0 || before.Plan.Units == 0 {
		t.Fatalf("plan: %+v", before.Plan)
	}
	if again := h.plan(command.ExitDrift); again.Plan.Digest != before.Plan.Digest {
		t.Errorf("the same is planned as %s and %s", before.Plan.Digest, again.Plan.Digest)
	}
	m := h.mend(command.ExitDone)
	want := []string{
		"1: return_hold, done",
		"2: return_hold, done",
		"3: remove_reservation, done",
		"4: remove_reservation, done",
		"5: end_reservation, done",
		"6: set_buyer_count, done",
		"7: set_buyer_count, done",
		"8: rewrite_projection, done",
		"8: rewrite_projection, done",
		"8: rewrite_projection, done",
		"9: apply_events, done",
		"10: replay_letter, done",
		"11: finish_transfer, done",
		"12: return_hold, done",
	}
	if diff := gocmp.Diff(want, m.became()); diff != "" {
		t.Errorf("%s\n%+v", diff, m.Results)
	}
	h.settled()
	if again := h.mend(command.ExitDone); len(again.Plan.Steps) > 0 || len(again.Results) > 0 {
		t.Errorf("again: %+v", again)
	}
	for _, sku := range []int64{1, 2} {
		if again := heldBy(sku); !bytes.Equal(again, counts) {
			t.Errorf("the record of SKU %d is %x, was %x: its end does not lower the user's count", sku, again, counts)
		}
	}
	var rows, by int
	if err := h.db.QueryRowContext(t.Context(), "SELECT COUNT(*), SUM(operator = 'me' AND reason = 'test' AND outcome = 'done') FROM repairs").Scan(&rows, &by); err != nil || rows != len(want) || by != rows {
		t.Errorf("%d rows, %d as they should be: %v", rows, by, err)
	}
}

// A cut-off transfer is found and finished although its cell has been rebased since, and so is in a later epoch.
func TestRepairFinishesATransferOfAnEarlierEpoch(t *testing.T) {
	t.Parallel()
	h := newHands(t, 11)
	defer h.stop()
	h.run("sale", "create", "7", "--name", "summer", "--item", "11:4", "--yes").want(command.ExitDone)
	h.settled()
	from := h.halfBack(func(stock.ReservationID) { h.settled() }).From
	store := h.store()
	for epoch := uint32(1); epoch <= 2; epoch++ {
		id := stock.Identity{Cell: from, Route: stock.OpAdjust, Key: fmt.Sprint("rebase ", epoch)}.ID(8)
		became, _, _, err := store.Shift(t.Context(), &redisstock.Shift{ID: id, Cell: from, Epoch: epoch, Reason: "test"})
		if err != nil || became != redisstock.ShiftDone {
			t.Fatalf("rebase of epoch %d: %v, %v", epoch, became, err)
		}
	}
	h.await(func() bool {
		var epoch int
		err := h.db.QueryRowContext(t.Context(), "SELECT epoch FROM product_inventories WHERE sku_id = 11 AND pool = 7").Scan(&epoch)
		return err == nil && epoch == 3
	})

	m := h.mend(command.ExitDone)
	if diff := gocmp.Diff([]string{"11: finish_transfer, done"}, m.became()); diff != "" {
		t.Errorf("%s\n%+v", diff, m.Results)
	}
	h.settled()
	if again := h.mend(command.ExitDone); len(again.Plan.Steps) > 0 {
		t.Errorf("again: %+v", again)
	}
}

// A transfer that an admin's call began, at an edge of an earlier version, is left to the admin, by name: only he knows where the
// units were to go.
func TestRepairNamesWhoseTransferWasCutOff(t *testing.T) {
	t.Parallel()
	h := newHands(t, 1)
	defer h.stop()
	move := stock.TransferRequest{From: stock.Cell{SKU: 1}, To: stock.Cell{SKU: 1, Pool: 7}, Units: 3, User: 5, Scope: stock.ScopeTransfer, Key: "k"}
	out, _ := move.IDs(8)
	done := stock.DoAll(t.Context(), h.store(), stock.OpAdjust, []stock.Request{{
		ID: out, Cell: move.From, User: 5, Fingerprint: stock.FingerprintOf(int64(stock.AdjustTransferOut), -3),
		Adjustment: &stock.Adjustment{Kind: stock.AdjustTransferOut, Delta: -3, Reason: "for the fair"},
	}})[0]
	if done.Err != nil || done.Verdict != stock.VerdictOK {
		t.Fatalf("transfer out: %+v", done)
	}
	h.settled()
	h.sql("UPDATE ledger SET redis_ms = redis_ms - 120000 WHERE reservation_id = ?", out[:])
	m := h.mend(command.ExitFailed)
	if len(m.Results) != 1 || m.Results[0].Outcome != "refused" {
		t.Fatalf("%+v", m.Results)
	}
	for _, text := range []string{"admin 5 (for the fair)", "Idempotency-Key", "sluice stock adjust 1 --delta=3 --reason lost"} {
		if !strings.Contains(m.Results[0].Said, text) {
			t.Errorf("%q is missing in %q", text, m.Results[0].Said)
		}
	}
}
