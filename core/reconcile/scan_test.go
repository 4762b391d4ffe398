package reconcile_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// holds makes a cell with so many units, each held by a reservation of its own.
func holds(t *testing.T, n int64) books {
	t.Helper()
	const deadline = 4102444800000
	b := newBooks(t)
	cell := stock.Cell{SKU: 1}
	b.exec(`INSERT INTO ledger VALUES (1, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, ?, 0, 0, 0, 1700000000000, ?, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL)`, n, n)
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT 1, 0, 0, 1, 1 + seq, 'reserve', UNHEX(LPAD(HEX(seq), 32, '0')), 5, 1, 0, %[1]d - seq, seq, 0, %[2]d, 1700000001000,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_1_to_%[1]d`, n, int64(deadline)))
	b.exec(fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		SELECT UNHEX(LPAD(HEX(seq), 32, '0')), 1, 0, 0, 5, 1, 'held', %[2]d, 1700000001000, 1, 1 + seq, 1700000001000 FROM seq_1_to_%[1]d`, n, int64(deadline)))
	b.projections()
	commands := [][]string{inRedis(cell, stock.Position{Epoch: 1, Seq: uint64(1 + n)}, 0, n, 0, stock.Settings{Hold: time.Minute})}
	for i := int64(1); i <= n; i++ {
		var id stock.ReservationID
		binary.BigEndian.PutUint64(id[8:], uint64(i))
		commands = append(commands, record(cell, id, stock.StateHeld, uint64(1+i), 5, 1, deadline))
	}
	b.do(commands...)
	return b
}

// A sweep rests after its work, and not after its rests: what it calls work takes no longer than the sweep without its rests.
func TestSweepRestsFromItsWorkOnly(t *testing.T) {
	t.Parallel()
	const held = 5000
	b := holds(t, held)
	s, _ := b.watch("HSCAN")
	s.Workers = 1 // each worker rests by itself
	var rested, worked time.Duration
	s.Now = func() time.Time { return time.Now().Add(rested) }
	s.Rest = func(_ context.Context, d time.Duration) { worked, rested = worked+d, rested+12*d }
	began := time.Now()
	report, found := b.sweep(s, reconcile.Scope{})
	took := time.Since(began)
	if report.Summary.Verdict != reconcile.Clean || report.Summary.Reservations != held {
		t.Fatalf("%q, %+v", found, report.Summary)
	}
	if worked > took {
		t.Errorf("rests from %v of work, and the sweep took %v", worked, took)
	}
	t.Logf("%v of %v", worked, took)
}

// same returns one cell of a partition for each pool.
func same(partition int, pools uint32) (cells []stock.Cell) {
	for pool := range pools {
		c := stock.Cell{SKU: 1, Pool: pool}
		for c.Partition(partitions) != partition {
			c.SKU++
		}
		cells = append(cells, c)
	}
	return cells
}

// A partition that cannot be read is given up at once: it is reported once, and nothing more is asked about it.
func TestFailedPartitionIsGivenUp(t *testing.T) {
	t.Parallel()
	const records = 3000
	b := newBooks(t)
	cells := same(3, 12) // more lists than one call reads
	for _, c := range cells {
		b.do(inRedis(c, stock.Position{Epoch: 1, Seq: 1}, 10, 0, 0, stock.Settings{Limit: 5}), []string{"SET", keyOf(c, fmt.Sprintf("buyers:%d", c.Pool)), "no hash"})
	}
	s, _ := b.watch("HSCAN")
	sweep := func() int {
		return b.statements(s, func() {
			report, found := b.sweep(s, reconcile.Scope{})
			if unread := report.Summary.Unread; len(unread) != 1 || !slices.Equal(unread[0].Partitions, []int{3}) {
				t.Errorf("%+v, %q", unread, found)
			}
		})
	}
	before := sweep()
	var commands [][]string
	for i := range int64(records) {
		var id stock.ReservationID
		binary.BigEndian.PutUint64(id[8:], uint64(i))
		commands = append(commands, record(cells[0], id, stock.StateConfirmed|128, 1, i, 1, 0)) // each counts
	}
	b.do(commands...)
	if after := sweep(); after != before {
		t.Errorf("%d statements, and %d without the records of the partition", after, before)
	}
}

// Redis keeps users' counts for years. However many there are in the partitions that are scanned together, a sweep has those of one
// list in memory. No other test runs meanwhile, because it measures the memory of the process.
func TestSweepHasFewCountsInMemory(t *testing.T) {
	const lists, counts, most = 40, 5000, 5 << 20
	b := newBooks(t)
	for sku := range int64(lists) {
		cell := stock.Cell{SKU: 1 + sku}
		b.do(inRedis(cell, stock.Position{Epoch: 1, Seq: 1}, 10, 0, 0, stock.Settings{Limit: 5}))
		command := []string{"HSET", keyOf(cell, "buyers:0")}
		for user := range int64(counts) {
			command = append(command, count(cell, user, 0)[2:]...)
		}
		b.do(command)
	}
	b.exec(fmt.Sprintf(`INSERT INTO ledger SELECT seq, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load',
		NULL, NULL, NULL FROM seq_1_to_%d`, lists))
	b.projections()
	s, scans := b.watch("buyers:")
	var now runtime.MemStats
	inUse := func() uint64 {
		runtime.GC()
		runtime.ReadMemStats(&now)
		return now.HeapAlloc
	}
	before, peak, rests := inUse(), uint64(0), 0
	s.Rest = func(context.Context, time.Duration) {
		if rests++; rests%10 == 0 {
			peak = max(peak, inUse())
		}
	}
	if report, found := b.sweep(s, reconcile.Scope{}); report.Summary.Verdict != reconcile.Clean || report.Summary.InSync != lists {
		t.Errorf("%q, %+v", found, report.Summary)
	}
	if scans.calls.Load() < lists*counts/1000 || peak > before+most {
		t.Errorf("after %d scans: %d MiB, and %d before", scans.calls.Load(), peak>>20, before>>20)
	}
	t.Logf("%d KiB more", (int64(peak)-int64(before))>>10)
}

// The cells that Redis has lost cost no calls of their own.
func TestLostCellsCostNoCalls(t *testing.T) {
	t.Parallel()
	const cells, most = 3000, 100
	b := purchases(t, cells)
	b.do([]string{"FLUSHALL"})
	s, _ := b.watch("TIME")
	report, _ := b.sweep(s, reconcile.Scope{})
	if report.Summary.Drift != cells || report.Summary.Calls > most {
		t.Errorf("%d calls: %+v", report.Summary.Calls, report.Summary)
	}
}
