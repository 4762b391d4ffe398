package cli

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/stock"
	"sluice/persister"
)

// busy has SKUs that all are sold, each with a reservation that is held and one that is sold, by users who buy nothing else.
type busy struct {
	*hands
}

// inLedger waits until an event of a reservation is in the ledger, and in the projections.
func (h *busy) inLedger(id stock.ReservationID, kind string) (seq uint64) {
	h.hand.t.Helper()
	h.await(func() bool {
		err := h.db.QueryRowContext(h.ctx, `SELECT l.seq FROM ledger l JOIN reservations r USING (reservation_id)
			WHERE reservation_id = ? AND l.kind = ? AND r.seq = l.seq`, id[:], kind).Scan(&seq)
		return err == nil
	})
	return seq
}

// newBusy sells SKUs 1 to skus until stop is called, and has some more that it leaves alone.
func newBusy(t *testing.T, skus, more int64, cfg func(*persister.Config)) (h *busy, accepted func() int64, stop func()) {
	t.Helper()
	d := newDeployment(t)
	d.run("migrate").want(command.ExitDone)
	file := "sku_id,quantity,limit,hold_seconds\n1,1000000,500,2\n"
	for sku := int64(2); sku <= skus+more; sku++ {
		file += fmt.Sprintf("%d,1000000,500,900\n", sku)
	}
	d.runWith(file, "stock", "load", "--yes").want(command.ExitDone)
	h = &busy{&hands{d, d.hand(), map[int64]stock.ReservationID{}, map[int64]stock.ReservationID{}, map[int64]stock.ReservationID{}, nil}}
	h.stop = d.persisterWith(cfg)
	d.run("sale", "create", "7", "--name", "summer", "--item", "11:40", "--yes").want(command.ExitDone)
	sold, end := d.sellsOn(skus)
	d.await(func() bool { return sold.Load() > 200 })
	for sku := int64(1); sku <= skus+more; sku++ {
		cell := stock.Cell{SKU: sku}
		h.held[sku], h.sold[sku], h.free[sku] = d.reserve(cell, 9001, "held"), d.reserve(cell, 9002, "sold"), d.reserve(cell, 9003, "free")
		d.settle(stock.OpConfirm, cell, h.sold[sku])
		d.settle(stock.OpRelease, cell, h.free[sku])
	}
	for sku := int64(1); sku <= skus+more; sku++ {
		h.inLedger(h.free[sku], "release")
	}
	return h, sold.Load, end
}

// inject makes differences by hand in SKUs 1 to 7, 9 and 11.
func (h *busy) inject() {
	h.hand.t.Helper()
	cell := func(sku int64) stock.Cell { return stock.Cell{SKU: sku} }
	h.halfBack(func(out stock.ReservationID) {
		h.await(func() bool {
			var n int
			err := h.db.QueryRowContext(h.ctx, "SELECT COUNT(*) FROM ledger WHERE reservation_id = ?", out[:]).Scan(&n)
			return err == nil && n == 1
		})
	})
	h.raise(cell(1), "7") // the hot one
	h.del(resOf(cell(2)), string(at(h.held[2])))
	another := h.held[3]
	another[9] ^= 1
	h.set(resOf(cell(3)), string(another[:]), withUser(h.get(resOf(cell(3)), string(at(h.held[3]))), 99))
	h.record(4, h.free[4], func(v []byte) { v[1] = 1 | v[1]&128 }) // held again
	h.buyer(5, 9001, 3)
	h.sql("UPDATE reservations SET state = 'released' WHERE reservation_id = ?", at(h.held[6]))
	h.sql("UPDATE product_inventories SET seq = seq + 1000000, available_stock = available_stock - 4, sold_stock = sold_stock + 4 WHERE sku_id = 7 AND pool = 0")
	h.refusedEvent(9, h.inLedger(h.held[9], "reserve"))
}

// injected lists the findings of a report after it.
var injected = []string{
	"1: counter_edit, 7, oversell",
	"2: leaked_hold, 1, undersell",
	"3: orphan_reservation, 1, oversell",
	"4: double_release, 1, oversell",
	"5: buyer_count, 2, undersell",
	"6: projection_stale, 1, bookkeeping",
	"7: projection_stale, bookkeeping",
	"9: dead_letter, 1, bookkeeping",
	"11: transit_stuck, 3, undersell",
}

// withoutSize leaves out how far the stock row of SKU 7 is behind: it falls behind by more and more.
func withoutSize(lines []string) []string {
	for i, line := range lines {
		if strings.HasPrefix(line, "7:") {
			lines[i] = units.ReplaceAllString(line, ",")
		}
	}
	slices.SortFunc(lines, bySKU)
	return lines
}

// While a sale runs, each type of drift is made by hand, reported, and put right, each once. The sale goes on, and its sums are
// whole afterwards.
func TestRepairUnderLoad(t *testing.T) {
	t.Parallel()
	const skus = 12
	h, accepted, end := newBusy(t, skus, 0, func(*persister.Config) {})
	defer h.stop()
	stopped := false
	defer func() {
		if !stopped {
			end()
		}
	}()
	h.inject()
	h.sql("DELETE FROM ledger WHERE reservation_id = ? AND kind = 'reserve'", at(h.held[8]))
	h.sql("UPDATE ledger SET available_stock = available_stock - 1, sold_stock = sold_stock + 1 WHERE reservation_id = ? AND kind = 'confirm'", at(h.sold[10]))
	began := time.Now()
	got := []string{}
	for _, scope := range [][]string{nil, {"--sku", "8"}, {"--sku", "10"}} { // older rows of the ledger are a matter of their SKU, or of once a day
		r := h.reconcile(command.ExitDrift, scope...)
		got = append(got, r.brief()...)
	}
	want := append(slices.Clone(injected), "8: gap, 1, bookkeeping", "10: fork, 1, bookkeeping")
	slices.SortFunc(want, bySKU)
	got = withoutSize(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	t.Logf("reported after %v", time.Since(began))

	became := map[string]bool{}
	before := accepted()
	for tries := 1; ; tries++ {
		if time.Since(began) > 2*time.Minute {
			left := h.reconcile(command.ExitDrift)
			t.Fatalf("repairs of two minutes do not put it right: %v", left.brief())
		}
		right := true
		for _, scope := range [][]string{nil, {"--sku", "8"}, {"--sku", "10"}} {
			m := into[mended](h.run(append([]string{"reconcile", "-o", "json", "--repair", "--apply", "--reason", "test", "--by", "me", "--yes"}, scope...)...))
			for _, line := range m.became() {
				became[line] = true
				t.Logf("run %d: %s", tries, line)
			}
			right = right && h.run(append([]string{"reconcile"}, scope...)...).code == command.ExitDone
		}
		if right {
			break
		}
	}
	t.Logf("put right after %v", time.Since(began))
	if accepted() == before {
		t.Error("nothing was sold meanwhile")
	}
	for _, line := range []string{
		"1: restore_counters, done", "2: return_hold, done", "3: remove_reservation, done", "4: end_reservation, done", "5: set_buyer_count, done",
		"6: rewrite_projection, done", "7: rewrite_projection, done", "8: apply_events, done", "9: replay_letter, done", "10: rebase_cell, done",
		"11: finish_transfer, done",
	} {
		if !became[line] {
			t.Errorf("%s is missing", line)
		}
	}
	end()
	stopped = true
	h.await(func() bool { // a persister that was at it may have made a dead letter of what did not follow before a rebase reached MySQL
		h.run("reconcile", "--repair", "--apply", "--reason", "test", "--by", "me", "--yes")
		return h.run("reconcile").code == command.ExitDone
	})
	h.settled()
	h.sumsAreWhole(skus)
	if n := h.rows("outcome = 'done' AND repair IN ('restore_counters', 'rebase_cell')"); n != 2 {
		t.Errorf("%d rebases, want one for the counters and one for the row of the ledger", n)
	}
}

// sumsAreWhole adds up what was reserved and sold, one by one, and compares it with the stock.
func (h *busy) sumsAreWhole(skus int64) {
	h.hand.t.Helper()
	rows, err := h.db.QueryContext(h.ctx, `SELECT i.sku_id, i.total_stock, i.available_stock, i.reserved_stock, i.sold_stock,
		SUM(IF(r.state = 'held', r.quantity, 0)), SUM(IF(r.state = 'confirmed', r.quantity, 0))
		FROM product_inventories i JOIN reservations r USING (sku_id, pool, bucket) WHERE pool = 0 GROUP BY i.sku_id`)
	if err != nil {
		h.hand.t.Fatal(err)
	}
	defer rows.Close()
	n := int64(0)
	for rows.Next() {
		var sku, total, avail, held, sold int64
		var heldSum, soldSum sql.NullInt64
		if err := rows.Scan(&sku, &total, &avail, &held, &sold, &heldSum, &soldSum); err != nil {
			h.hand.t.Fatal(err)
		}
		n++
		loaded := map[bool]int64{true: 1_000_000 - 40 + 3, false: 1_000_000}[sku == 11]
		if total != loaded || avail+held+sold != total || held != heldSum.Int64 || sold != soldSum.Int64 {
			h.hand.t.Errorf("SKU %d: avail %d, held %d, sold %d of %d, loaded %d; reservations hold %d and have bought %d", sku, avail, held, sold, total, loaded, heldSum.Int64, soldSum.Int64)
		}
		if s := h.show(sku); s.Redis.Total != total || s.Redis.Avail != avail || s.Redis.Held != held || s.Redis.Sold != sold {
			h.hand.t.Errorf("SKU %d: Redis has %+v", sku, s.Redis)
		}
	}
	if err := rows.Err(); err != nil || n != skus {
		h.hand.t.Errorf("%d SKUs (%v), want %d", n, err, skus)
	}
}

var units = regexp.MustCompile(`, \d+,`)
