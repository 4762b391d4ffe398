package bench

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/local"
)

// BenchmarkArchiveBesideSale measures the cost of the archiver for a sale on the same machine: accepted reservations a
// second, and the processor time of each process per accepted one, without an archiver and with one of the default
// --share. The two take turns, each long enough for an archiver to work and to rest. Run it with -benchtime 1x.
func BenchmarkArchiveBesideSale(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const oldSKU = 1004 // whose holds expire, are a hundred days old then, and leave
	s := stack.New(b, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_OUTBOX_ENTRIES_MAX=10000000", "SLUICE_REDIS_CALL_TIMEOUT=5s")
	s.LoadCSV("sku_id,quantity,limit,hold_seconds", fmt.Sprintf("%d,1000000000,1000000,3600", hotSKU), fmt.Sprintf("%d,1000000000,,1", oldSKU))
	edge, persister := s.StartEdge(), s.StartPersister()
	turns, turn := 4, 15*time.Second
	if testing.Short() {
		turns, turn = 1, 2*time.Second
	}
	d := newDriver(b, s, oldSKU)
	d.length = turn
	ask := func(query string) (n int64) {
		if err := s.DB.QueryRowContext(b.Context(), query).Scan(&n); err != nil {
			b.Fatal(query, err)
		}
		return n
	}
	await := func(query string) {
		for deadline := time.Now().Add(5 * time.Minute); ask(query) != 0; time.Sleep(time.Second) {
			if time.Now().After(deadline) {
				b.Fatal("still: ", query)
			}
		}
	}
	dir := b.TempDir()
	variants := []struct {
		name string
		args []string // of the archiver; nil: none
	}{
		{"without", nil},
		{"default", []string{}},
	}
	for b.Loop() {
		d.run(edge.Addr(), warmUp(), http.StatusCreated)
		await("SELECT COUNT(*) FROM reservations WHERE state = 'held'")
		await("SELECT COUNT(*) FROM product_inventories i LEFT JOIN applied_marks m USING (sku_id, pool, bucket) WHERE m.seq IS NULL OR m.seq <> i.seq")
		for _, age := range []string{
			"UPDATE ledger SET redis_ms = redis_ms - 8640000000", "UPDATE reservations SET updated_ms = updated_ms - 8640000000, reserved_ms = reserved_ms - 8640000000",
		} {
			if _, err := s.DB.ExecContext(b.Context(), age); err != nil {
				b.Fatal(err)
			}
		}
		d.sku = hotSKU
		d.run(edge.Addr(), warmUp()/5, http.StatusCreated)
		left := ask("SELECT COUNT(*) FROM ledger WHERE sku_id = 1004")
		rate, cpu, archiver := map[string][]float64{}, map[string][][]float64{}, map[string][]float64{}
		for range turns {
			for _, v := range variants {
				var end func() time.Duration
				if v.args != nil {
					await("SELECT NOT IS_FREE_LOCK(CONCAT('sluice archive ', MD5(DATABASE())))") // of the one before
					end = archive(b, s, append([]string{"archive", "run", "--dir", dir, "--older-than", "1200h", "--yes"}, v.args...))
				}
				r, us := d.measure(edge.Addr(), http.StatusCreated, edge.CPU, cpuOf(s.Redis.PID()), persister.CPU, cpuOf(s.MariaDB.PID()), cpuOf(s.Kafka.PID()))
				if end != nil {
					archiver[v.name] = append(archiver[v.name], end().Seconds()/turn.Seconds())
				}
				rate[v.name], cpu[v.name] = append(rate[v.name], r), append(cpu[v.name], us)
			}
		}
		b.Logf("of %d old rows %d are left", left, ask("SELECT COUNT(*) FROM ledger WHERE sku_id = 1004"))
		for _, v := range variants {
			b.ReportMetric(median(rate[v.name]), "answers/s-"+v.name)
			var ratios []float64
			for i := range rate[v.name] {
				ratios = append(ratios, rate[v.name][i]/rate["without"][i])
			}
			b.ReportMetric(median(ratios), "ratio-"+v.name)
			for i, process := range []string{"edge", "redis", "persister", "mariadb", "kafka"} {
				var us []float64
				for _, of := range cpu[v.name] {
					us = append(us, of[i])
				}
				b.ReportMetric(median(us), process+"-us-"+v.name)
			}
			if v.args != nil {
				b.ReportMetric(median(archiver[v.name]), "archiver-cores-"+v.name)
			}
		}
	}
}

// archive starts an archiver. end stops it, and returns the processor time that it has used.
func archive(b *testing.B, s *stack.Stack, args []string) (end func() time.Duration) {
	b.Helper()
	program, err := local.StartProgram(b.Context(), b.TempDir(), s.Program(args...))
	if err != nil {
		b.Fatal(err)
	}
	return func() time.Duration {
		used, err := local.CPU(program.PID())
		if err != nil {
			b.Fatal("the archiver has ended: ", program.Log(), err)
		}
		_ = program.Stop() // its work is cut off
		return used
	}
}
