package registry_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/persister/persistertest"
)

var loadUsers = flag.Int64("users", 1_000_000, "how many users BenchmarkLoad registers")

// BenchmarkLoad registers users in a sale whose SKUs are in so many partitions, on one Redis. Somebody reserves, one call after the
// other, during the load. For comparison the same is measured before it: on an idle machine, and beside work that leaves Redis alone.
//
//	go test -run '^$' -bench Load -benchtime 1x ./core/registry -users 200000
func BenchmarkLoad(b *testing.B) {
	for _, partitions := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("%d partitions", partitions), func(b *testing.B) {
			for range b.N {
				loadInto(b, partitions)
			}
		})
	}
}

func loadInto(b *testing.B, partitions int) {
	b.Helper()
	server := servicetest.Redis(b)
	mysql, dsn := servicetest.PrivateDatabase(b)
	books := persistertest.Migrated(b, dsn)
	client, store := storeOn(b, server.Addr, partitions)
	_, loading := storeOn(b, server.Addr, partitions) // of another process
	redistest.Open(b, client, partitions, store, loading)
	plan := sale.Plan{ID: 7, Name: "test", Hold: time.Hour, RegisteredOnly: true}
	taken := map[int]bool{}
	for sku := int64(1); len(taken) < partitions; sku++ {
		cell := stock.Cell{SKU: sku, Pool: 7}
		if p := cell.Partition(partitions); !taken[p] {
			taken[p] = true
			put(b, store, stock.Cell{SKU: sku})
			plan.Items = append(plan.Items, sale.Allotment{SKU: sku, Quantity: 1})
		}
	}
	if _, err := sale.NewDesk(store, books, time.Hour).Create(b.Context(), plan); err != nil {
		b.Fatal(err)
	}

	idle := reservedBeside(b, store, 1, func(time.Duration) {})
	busy := reservedBeside(b, store, 2, func(long time.Duration) { // as much work for both cores, and none for Redis
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for begun := time.Now(); time.Since(begun) < long; {
					continue
				}
			})
		}
		wg.Wait()
	})
	pids, cpu := [3]int{server.PID(), mysql.PID(), os.Getpid()}, [3]time.Duration{}
	for i, pid := range pids {
		var err error
		if cpu[i], err = local.CPU(pid); err != nil {
			b.Fatal(err)
		}
	}
	stop := reserving(b, store, 3)
	b.ResetTimer()
	begun := time.Now()
	load := registry.New(books, loading).Load(b.Context(), 7)
	for from := int64(1); from <= *loadUsers; from += registry.UsersMax {
		if !load.Add(users(from, min(registry.UsersMax, *loadUsers-from+1))) {
			break
		}
	}
	got, err := load.Wait()
	took := time.Since(begun)
	b.StopTimer()
	during := stop()
	if err != nil || got.Registered != *loadUsers {
		b.Fatal(got, err)
	}
	million := float64(*loadUsers) / 1e6
	b.ReportMetric(float64(*loadUsers)/took.Seconds(), "users/s")
	for i, unit := range []string{"redis-s/M", "mysql-s/M", "loader-s/M"} {
		used, err := local.CPU(pids[i])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((used-cpu[i]).Seconds()/million, unit)
	}
	of := fmt.Sprintf("{p%d}:registered:7", stock.Cell{SKU: plan.Items[0].SKU, Pool: 7}.Partition(partitions))
	memory, err := client.Do(b.Context(), client.B().MemoryUsage().Key(of).Samples(1000).Build()).AsInt64()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(memory)/float64(*loadUsers), "redis-B/user")
	var disk float64
	const file = "SELECT SUM(file_size) FROM information_schema.innodb_sys_tablespaces WHERE name LIKE '%/registrations'"
	if err := books.QueryRowContext(b.Context(), file).Scan(&disk); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(disk/float64(*loadUsers), "mysql-B/user")
	for _, phase := range []struct {
		name string
		took []time.Duration
	}{{"idle", idle}, {"busy", busy}, {"load", during}} {
		b.ReportMetric(millis(phase.took, 0.5), "p50-"+phase.name+"-ms")
		b.ReportMetric(millis(phase.took, 0.99), "p99-"+phase.name+"-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// put loads a SKU with many units.
func put(b *testing.B, store *redisstock.Store, cell stock.Cell) {
	b.Helper()
	partitions := store.Partitions()
	v := &stock.Vector{Op: stock.OpAdjust, Partition: cell.Partition(partitions), Requests: []stock.Request{{
		ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(partitions), Cell: cell,
		Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Create: true, Delta: 100_000_000, Settings: stock.Settings{}.WithDefaults(), Reason: "load"},
	}}}
	if store.Do(b.Context(), v); v.Err != nil {
		b.Fatal(v.Err)
	}
}

// reservedBeside returns how long each reserve took beside work that lasts two seconds.
func reservedBeside(b *testing.B, store *redisstock.Store, round int64, work func(time.Duration)) []time.Duration {
	b.Helper()
	const long = 2 * time.Second
	end := time.After(long)
	stop := reserving(b, store, round)
	work(long)
	<-end
	return stop()
}

// reserving reserves a unit of SKU 1, again and again. stop ends it and returns how long each call took, sorted.
func reserving(b *testing.B, store *redisstock.Store, round int64) (stop func() []time.Duration) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var took []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		cell := stock.Cell{SKU: 1}
		for n := int64(0); ctx.Err() == nil; n++ {
			user := round<<32 + n
			v := &stock.Vector{Op: stock.OpReserve, Partition: cell.Partition(store.Partitions()), Requests: []stock.Request{{
				ID:   stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: "k"}.ID(store.Partitions()),
				Cell: cell, User: user, Quantity: 1, Fingerprint: stock.FingerprintOf(1),
			}}}
			begun := time.Now()
			store.Do(context.WithoutCancel(ctx), v)
			took = append(took, time.Since(begun))
			if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
				b.Error(v.Outcomes, v.Err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() []time.Duration {
		cancel()
		wg.Wait()
		slices.Sort(took)
		return took
	}
}

func millis(sorted []time.Duration, quantile float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(quantile*float64(len(sorted)-1))].Seconds() * 1000
}
