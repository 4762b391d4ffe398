package reconcile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// BenchmarkSweep compares cells at rest. Every tenth has an open reservation. SWEEP_CELLS says how many.
//
//	SWEEP_CELLS=1000000 go test -run '^$' -bench Sweep -benchtime 1x ./core/reconcile
func BenchmarkSweep(b *testing.B) {
	n := 100_000
	if text := os.Getenv("SWEEP_CELLS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	w := newServers(b)
	for _, statement := range []string{
		`INSERT INTO ledger SELECT seq, 0, 0, 1, 1, 'adjust', REPEAT('x', 16), 0, 0, 0, 10, 0, 0, 0, 1700000000000, 10, 127, REPEAT('x', 20), 'load', NULL, NULL, NULL FROM seq_1_to_%d`,
		`INSERT INTO ledger SELECT seq, 0, 0, 1, 2, 'reserve', UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), 5, 1, 0, 9, 1, 0, 4102444800000, 1700000001000, NULL, NULL, NULL, NULL, NULL, NULL, NULL
			FROM seq_1_to_%d WHERE seq %% 10 = 0`,
		`INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
			SELECT seq, 10, IF(seq %% 10 = 0, 9, 10), IF(seq %% 10 = 0, 1, 0), 0, 1, IF(seq %% 10 = 0, 2, 1), NOW(3) FROM seq_1_to_%d`,
		`INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
			SELECT UNHEX(CONCAT(REPEAT('0', 16), LPAD(HEX(seq), 16, '0'))), seq, 0, 0, 5, 1, 'held', 4102444800000, 1700000001000, 1, 2, 1700000001000
			FROM seq_1_to_%d WHERE seq %% 10 = 0`,
		`INSERT INTO applied_marks SELECT seq, 0, 0, 1, IF(seq %% 10 = 0, 2, 1) FROM seq_1_to_%d`,
	} {
		if _, err := w.mysql.ExecContext(b.Context(), fmt.Sprintf(statement, n)); err != nil {
			b.Fatal(err)
		}
	}
	fill(b, w.client, n)
	s := w.sweeper(func(func(*event.Batch) error) error { return nil })
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := before.HeapInuse
	s.Progress = func(reconcile.Progress) {
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapInuse)
	}
	used := cpuOfAll(b)
	for b.Loop() {
		report, err := s.Sweep(b.Context(), reconcile.Scope{})
		if err != nil || report.Summary.Verdict != reconcile.Clean || report.Summary.InSync != int64(n) || report.Summary.Reservations != int64(n/10) {
			b.Fatalf("%+v, %v", report, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
	b.ReportMetric(float64(peak-before.HeapInuse)/(1<<20), "MiB")
	b.ReportMetric((cpuOfAll(b)-used).Seconds()/float64(b.N), "cpu-s/op")
}

// cpuOfAll reads the processor time that this process and the servers that it has started have used.
func cpuOfAll(b *testing.B) (all time.Duration) {
	b.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		b.Fatal(err)
	}
	pids := []string{"self"}
	for _, path := range threads {
		if text, err := os.ReadFile(path); err == nil { // a thread may have ended
			pids = append(pids, strings.Fields(string(text))...)
		}
	}
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		for _, ticks := range fields[11:13] { // utime and stime
			n, err := strconv.Atoi(ticks)
			if err != nil {
				b.Fatal(err)
			}
			all += time.Duration(n) * time.Second / 100
		}
	}
	return all
}

// fill writes the same cells and reservations into Redis, as scripts would.
func fill(b *testing.B, client rueidis.Client, n int) {
	b.Helper()
	big := func(dst []byte, v uint64, bytes int) []byte {
		for i := bytes - 1; i >= 0; i-- {
			dst = append(dst, byte(v>>(8*i)))
		}
		return dst
	}
	var commands []rueidis.Completed
	send := func() {
		for _, answer := range client.DoMulti(b.Context(), commands...) {
			if err := answer.Error(); err != nil {
				b.Fatal(err)
			}
		}
		commands = commands[:0]
	}
	for sku := 1; sku <= n; sku++ {
		cell := stock.Cell{SKU: int64(sku)}
		p := cell.Partition(partitions)
		held := uint64(0)
		if sku%10 == 0 {
			held = 1
		}
		value := big(big(big(big(big(big([]byte{1}, 10-held, 5), held, 5), 0, 5), 1+held, 6), 10, 5), 1, 4)
		value = event.AppendSettings(value, stock.Settings{Hold: time.Minute}, 0)
		commands = append(commands, client.B().Hset().Key(fmt.Sprintf("{p%d}:cells", p)).FieldValue().
			FieldValue(string(cell.Append(nil)), string(value)).Build())
		if held == 1 {
			var id stock.ReservationID
			binary.BigEndian.PutUint64(id[8:], uint64(sku))
			record := big(big([]byte{1, 1}, 2, 6), 4102444800000, 6)
			record = cell.Append(big(big(big(record, 5, 8), 1, 3), 0, 4))
			commands = append(commands, client.B().Hset().Key(fmt.Sprintf("{p%d}:res", p)).FieldValue().FieldValue(string(id[:]), string(record)).Build())
		}
		if len(commands) >= 1000 {
			send()
		}
	}
	send()
}
