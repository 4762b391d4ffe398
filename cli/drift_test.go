package cli

import (
	"fmt"
	"testing"

	"sluice/cli/command"
	"sluice/core/stock"
	"sluice/persister"
)

// driftSKUs is how many SKUs a deployment has that everyDrift makes. The last one stays as it is.
const driftSKUs = 15

// everyDrift makes a deployment at rest. Each of its SKUs has held, sold and released units, and half a transfer.
// Its persister runs with a config until stop is called. inject changes stores by hand, each SKU's in another way, and
// reports then have what is wanted.
func everyDrift(t *testing.T, cfg func(*persister.Config)) (d *deployment, stop, inject func(), want []string) {
	t.Helper()
	d = newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	const skus = driftSKUs
	d.runWith(stockFile("sku_id,quantity,limit", skus, "20,5"), "stock", "load", "--yes").want(command.ExitDone)
	held, sold, free := map[int64]stock.ReservationID{}, map[int64]stock.ReservationID{}, map[int64]stock.ReservationID{}
	early := map[int64][]byte{}
	h := d.hand()
	for sku := int64(1); sku <= skus; sku++ {
		cell := stock.Cell{SKU: sku}
		held[sku], sold[sku], free[sku] = d.reserve(cell, 1, "held"), d.reserve(cell, 2, "sold"), d.reserve(cell, 3, "free")
		d.settle(stock.OpConfirm, cell, sold[sku])
		early[sku] = h.get(cellsOf(cell), string(cell.Append(nil)))
		d.settle(stock.OpRelease, cell, free[sku])
	}
	d.run("sale", "create", "7", "--name", "summer", "--item", "13:4", "--yes").want(command.ExitDone)
	if r := d.reconcile(command.ExitDone); r.Summary.Verdict != "clean" || r.Findings == nil || len(r.Findings) > 0 || r.Summary.InFlight != skus+1 {
		t.Fatalf("nothing has reached MySQL: %+v", r)
	}
	stop = d.persisterWith(cfg)
	d.settled()
	// Half a transfer, of two minutes ago.
	out := stock.Identity{Cell: stock.Cell{SKU: 13}, Route: stock.OpAdjust, Key: "half"}.ID(8)
	out[15] &^= 1
	done := stock.DoAll(t.Context(), d.store(), stock.OpAdjust, []stock.Request{{
		ID: out, Cell: stock.Cell{SKU: 13}, Adjustment: &stock.Adjustment{Kind: stock.AdjustTransferOut, Delta: -3, Reason: "half"},
	}})[0]
	if done.Err != nil || done.Verdict != stock.VerdictOK {
		t.Fatalf("transfer out: %+v", done)
	}
	d.settled()

	cell := func(sku int64, change func(value []byte)) {
		c := stock.Cell{SKU: sku}
		value := h.get(cellsOf(c), string(c.Append(nil)))
		change(value)
		h.set(cellsOf(c), string(c.Append(nil)), value)
	}
	record := func(sku int64, id stock.ReservationID, change func(value []byte)) {
		value := h.get(resOf(stock.Cell{SKU: sku}), string(id[:]))
		change(value)
		h.set(resOf(stock.Cell{SKU: sku}), string(id[:]), value)
	}
	letter := func(sku int64, reason string, seq int) {
		h.sql(`INSERT INTO dead_letters (letter_id, reason, detail, sku_id, pool, bucket, epoch, seq, data)
			VALUES (?, ?, 'why', ?, 0, 0, 1, ?, 'x')`, fmt.Sprintf("%032d", sku), reason, sku, seq)
	}
	inject = func() {
		cell(1, func(v []byte) { v[5] += 2 })                 // avail
		cell(2, func(v []byte) { v[5]--; v[26]-- })           // avail and total
		h.del(resOf(stock.Cell{SKU: 3}), string(at(held[3]))) // a record
		record(4, held[4], func([]byte) {})                   // see below
		another := held[4]
		another[9] ^= 1
		h.set(resOf(stock.Cell{SKU: 4}), string(another[:]), withUser(h.get(resOf(stock.Cell{SKU: 4}), string(at(held[4]))), 9))
		record(5, free[5], func(v []byte) { v[1] = 1 }) // held again
		h.set(fmt.Sprintf("{p%d}:buyers:0", stock.Cell{SKU: 6}.Partition(8)), string(stock.Cell{SKU: 6}.Append(nil))+"\x00\x00\x00\x00\x00\x00\x00\x02", []byte{0, 0, 3})
		h.sql("UPDATE product_inventories SET available_stock = available_stock - 4, sold_stock = sold_stock + 4 WHERE sku_id = 7 AND pool = 0")
		h.sql("UPDATE reservations SET state = 'released' WHERE reservation_id = ?", at(held[8]))
		h.sql("DELETE FROM ledger WHERE sku_id = 9 AND seq = 6") // the release
		h.sql("DELETE FROM ledger WHERE sku_id = 10 AND seq = 6")
		letter(10, "refused", 6)
		letter(11, "fork", 6)
		h.set(cellsOf(stock.Cell{SKU: 12}), string(stock.Cell{SKU: 12}.Append(nil)), early[12]) // before the release
		h.sql("UPDATE ledger SET redis_ms = redis_ms - 120000 WHERE sku_id = 13 AND kind = 'transfer_out' AND reservation_id = ?", out[:])
		cell(14, func(v []byte) { v[0] = 9 }) // a version that nobody knows
	}
	return d, stop, inject, []string{
		"1: counter_edit, 2, oversell",
		"2: counter_edit, 1, undersell",
		"3: leaked_hold, 1, undersell",
		"4: orphan_reservation, 1, oversell",
		"5: double_release, 1, oversell",
		"6: buyer_count, 2, undersell",
		"7: projection_stale, 4, bookkeeping",
		"8: projection_stale, 1, bookkeeping",
		"9: gap, 1, bookkeeping",
		"10: dead_letter, 0, bookkeeping",
		"11: fork, 0, undersell",
		"12: lost_tail, 1, undersell",
		"13: transit_stuck, 3, undersell",
		"14: unverifiable, 0, bookkeeping",
	}
}
