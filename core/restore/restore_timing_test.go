package restore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/kafka"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/redis"
	"sluice/core/restore"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
	"sluice/persister/persistertest"
)

// restorePartitions are those of the benchmark's deployment.
const restorePartitions = 64

// BenchmarkRestore restores cells into an empty Redis. Each cell has an open reservation that counts against a limit.
// RESTORE_CELLS says how many. The last vetting is in the time. It reports the CPU seconds per 100,000 cells of the restore, of
// Redis and of MySQL, because a wall's time says little on a machine that others use.
//
//	RESTORE_CELLS=500000 go test -run '^$' -bench Restore -benchtime 1x ./core/restore
func BenchmarkRestore(b *testing.B) {
	n := 50_000
	if text := os.Getenv("RESTORE_CELLS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	mysql := persistertest.Database(b)
	fill(b, mysql, n)
	server := servicetest.Redis(b)
	client, err := rueidis.NewClient(redis.Options([]string{server.Addr}, "", ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{Partitions: restorePartitions, CallTimeout: 10 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	brokers := servicetest.Broker(b)
	if err := outbox.CreateTopic(b.Context(), brokers, "events", 4, 1); err != nil {
		b.Fatal(err)
	}
	var first time.Duration
	var began time.Time
	r := restore.Restore{Store: store, Vetting: vetting.Vetter{
		Client: client, DB: mysql, Kafka: kafka.Config{Brokers: brokers, Topic: "events", Group: "g"},
		Stock: config.Agreed{Partitions: restorePartitions, Deployment: "test", Retention: 24 * time.Hour},
	}}
	r.Open = func(ctx context.Context) error {
		_, err := r.Vetting.Open(ctx, store)
		if first == 0 {
			first = time.Since(began)
		}
		return err
	}
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := before.HeapInuse
	r.Progress = func(restore.Progress) {
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapInuse)
	}
	var used [3]float64
	for b.Loop() {
		b.StopTimer()
		if err := client.Do(b.Context(), client.B().Flushall().Build()).Error(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		spent := spentBy(b, mysql, client)
		began, first = time.Now(), 0
		plan, err := r.Plan(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		report, err := r.Run(b.Context(), plan)
		if err != nil || report.Done != restorePartitions || report.Cells != int64(n) || report.Records != int64(2*n) {
			b.Fatalf("%+v, %v", report, err)
		}
		for i, now := range spentBy(b, mysql, client) {
			used[i] += now - spent[i]
		}
	}
	for i, who := range []string{"go", "redis", "mysql"} {
		b.ReportMetric(used[i]/float64(n)/float64(b.N)*100_000, who+"-cpu-s/100k")
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "cells/s")
	b.ReportMetric(first.Seconds(), "s-to-first-sale")
	b.ReportMetric(float64(peak-before.HeapInuse)/(1<<20), "MiB")
}

// fill writes cells into MySQL, as persisters would: each was made and has one open reservation.
func fill(b *testing.B, mysql *sql.DB, n int) {
	b.Helper()
	nowMS := time.Now().UnixMilli()
	settings := event.AppendSettings(nil, stock.Settings{Limit: 5, Hold: time.Hour}, 0)
	const atOnce = 1000
	for from := 1; from <= n; from += atOnce {
		var events, cells []string
		for sku := from; sku < min(from+atOnce, n+1); sku++ {
			cell := stock.Cell{SKU: int64(sku)}
			made := stock.Identity{User: 1, Route: stock.OpAdjust, Cell: cell, Key: "made"}.ID(restorePartitions)
			held := stock.Identity{User: 7, Route: stock.OpReserve, Cell: cell, Key: "held"}.ID(restorePartitions)
			events = append(events,
				fmt.Sprintf("(%d, 0, 0, 1, 1, 'adjust', x'%x', 1, 0, 0, 10, 0, 0, 0, %d, 10, 127, x'%x', 'load')", sku, made[:], nowMS, settings),
				fmt.Sprintf("(%d, 0, 0, 1, 2, 'reserve', x'%x', 7, 1, 0, 9, 1, 0, %d, %d, NULL, NULL, NULL, NULL)", sku, held[:], nowMS+3_600_000, nowMS))
			cells = append(cells, fmt.Sprintf("(%d, 10, 9, 1, 0, 1, 2, NOW(3))", sku))
		}
		for _, statement := range []string{
			"INSERT INTO ledger (sku_id, pool, bucket, epoch, seq, kind, reservation_id, user_id, quantity, fingerprint, available_stock, reserved_stock, " +
				"sold_stock, deadline_ms, redis_ms, delta, fields, settings, reason) VALUES " + strings.Join(events, ","),
			"INSERT INTO product_inventories (sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES " +
				strings.Join(cells, ","),
		} {
			if _, err := mysql.ExecContext(b.Context(), statement); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// spentBy returns the CPU seconds that this process, Redis and MySQL have used so far.
func spentBy(b *testing.B, mysql *sql.DB, client rueidis.Client) (spent [3]float64) {
	b.Helper()
	var file string
	err := mysql.QueryRowContext(b.Context(), "SELECT @@pid_file").Scan(&file)
	if err != nil {
		b.Fatal(err)
	}
	info, err := client.Do(b.Context(), client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		b.Fatal(err)
	}
	_, pid, _ := strings.Cut(info, "process_id:")
	pid, _, _ = strings.Cut(pid, "\r")
	id, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	for i, process := range []string{"self", pid, strings.TrimSpace(string(id))} {
		stat, err := os.ReadFile("/proc/" + process + "/stat")
		if err != nil {
			b.Skip("there is no /proc here")
		}
		_, fields, _ := strings.Cut(string(stat), ") ")
		var user, system float64
		for at, field := range strings.Fields(fields) {
			switch at {
			case 11:
				user, _ = strconv.ParseFloat(field, 64)
			case 12:
				system, _ = strconv.ParseFloat(field, 64)
			}
		}
		spent[i] = (user + system) / 100 // ticks
	}
	return spent
}
