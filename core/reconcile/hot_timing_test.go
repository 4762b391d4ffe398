package reconcile_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// BenchmarkHotCell compares one cell of a sale with a limit, of which many users hold a unit each. Some of them buy another one after
// the sweep has read the records, and MySQL does not have these events yet. HOT_BUYERS says how many hold a unit.
//
//	HOT_BUYERS=200000 go test -run '^$' -bench HotCell -benchtime 1x ./core/reconcile
func BenchmarkHotCell(b *testing.B) {
	n := 200_000
	if text := os.Getenv("HOT_BUYERS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for _, moving := range []int{0, 5000} {
		b.Run(fmt.Sprintf("moving=%d", moving), func(b *testing.B) {
			w := newServers(b)
			w.hot(b, n)
			client := &watched{Client: w.client, word: "HSCAN " + keyOf(hotCell, "res")}
			client.after = func(r rueidis.RedisResult) {
				if step, err := r.AsScanEntry(); err == nil && step.Cursor == 0 {
					client.after = nil
					w.move(b, n, moving)
				}
			}
			redis, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 10 * time.Second, Retention: 24 * time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			peak := before.HeapInuse
			s := w.sweeper(func(func(*event.Batch) error) error { return nil })
			s.Redis = redis
			s.Progress = func(reconcile.Progress) {
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapInuse)
			}
			used := cpuOfAll(b)
			for b.Loop() {
				report, err := s.Sweep(b.Context(), reconcile.Scope{})
				if err != nil || report.Summary.Verdict != reconcile.Clean || report.Summary.EventsInFlight != int64(moving) {
					b.Fatalf("%+v, %+v, %v", report.Summary, report.Findings, err)
				}
			}
			b.ReportMetric(float64(peak-before.HeapInuse)/(1<<20), "MiB")
			b.ReportMetric((cpuOfAll(b)-used).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// hot makes the cell.
func (w *servers) hot(b testing.TB, n int) {
	b.Helper()
	total, deadline := int64(2*n), int64(hotDeadline)
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, %d, 0, 0, 0, 1700000000000, %d, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL`, total, total),
		fmt.Sprintf(`INSERT INTO ledger SELECT 7, 0, 0, 1, seq + 1, 'reserve', UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), seq, 1, 0, %d - seq, seq, 0, %d,
			1700000001000, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM seq_1_to_%d`, total, deadline, n),
		fmt.Sprintf(`INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
			VALUES (7, %d, %d, %d, 0, 1, %d, NOW(3))`, total, total-int64(n), n, n+1),
		fmt.Sprintf(`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			SELECT UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), 7, 0, 0, seq, 1, 'held', %d, 1700000001000, 1, seq + 1, 1700000001000 FROM seq_1_to_%d`, deadline, n),
		fmt.Sprintf(`INSERT INTO applied_marks VALUES (7, 0, 0, 1, %d)`, n+1),
	} {
		if _, err := w.mysql.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	var commands [][]string
	for seq := 1; seq <= n; seq++ {
		commands = append(commands, heldBy(seq, int64(seq)), count(hotCell, int64(seq), 1))
		if len(commands) >= 1000 {
			w.send(b, commands)
			commands = commands[:0]
		}
	}
	w.send(b, append(commands, counters(n, n)))
}

// hotCell is sold by hot and move.
var hotCell = stock.Cell{SKU: 7}

// heldBy returns the command that writes the record of a unit, held by the event at seq+1.
func heldBy(seq int, user int64) []string {
	var id stock.ReservationID
	copy(id[8:], bigEndian(nil, uint64(seq), 8))
	return record(hotCell, id, stock.StateHeld|0x80, uint64(seq)+1, user, 1, hotDeadline)
}

// hotDeadline is that of all holds.
const hotDeadline = 4102444800000

// counters returns the command that writes the counters of the cell, of which n users bought the first unit.
func counters(n, held int) []string {
	return inRedis(hotCell, stock.Position{Epoch: 1, Seq: uint64(held) + 1}, int64(2*n-held), int64(held), 0, stock.Settings{Hold: time.Minute, Limit: 5})
}

// move has some of the users buy a second unit.
func (w *servers) move(b testing.TB, n, moving int) {
	b.Helper()
	var commands [][]string
	batch := event.Batch{TimeMS: 1_700_000_002_000}
	for seq := n + 1; seq <= n+moving; seq++ {
		user := int64(seq - n)
		e := event.Event{Cell: hotCell, Position: stock.Position{Epoch: 1, Seq: uint64(seq) + 1}, Kind: event.KindReserve, User: user, Quantity: 1, DeadlineMS: hotDeadline}
		copy(e.Reservation[8:], bigEndian(nil, uint64(seq), 8))
		e.Avail, e.Held = int64(2*n-seq), int64(seq)
		commands = append(commands, heldBy(seq, user), count(hotCell, user, 2))
		if batch.Events = append(batch.Events, e); len(batch.Events) == 100 || seq == n+moving {
			commands = append(commands, entry(hotCell, batch.TimeMS, batch.Events...))
			batch.Events = nil
		}
	}
	w.send(b, append(commands, counters(n, n+moving)))
}

// send has Redis run commands.
func (w *servers) send(b testing.TB, commands [][]string) {
	b.Helper()
	built := make(rueidis.Commands, len(commands))
	for i, c := range commands {
		built[i] = w.client.B().Arbitrary(c...).Build()
	}
	for _, answer := range w.client.DoMulti(b.Context(), built...) {
		if err := answer.Error(); err != nil {
			b.Fatal(err)
		}
	}
}
