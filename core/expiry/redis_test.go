package expiry

import (
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// opened are the marks of the tests' servers, by address.
var opened sync.Map

// connect makes a store with a client of its own, as a process has.
func connect(t testing.TB, addr string) (*redisstock.Store, rueidis.Client) {
	t.Helper()
	client, err := rueidis.NewClient(redis.Options([]string{addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{
		Partitions: stock.PartitionsDefault, CallTimeout: 20 * time.Second, OutboxEntriesMax: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	if marks, ok := opened.Load(addr); ok {
		store.Trust(marks.([]stock.Mark))
	}
	return store, client
}

// openRedis starts a Redis and opens it for a deployment.
func openRedis(t testing.TB) (addr string, store *redisstock.Store, client rueidis.Client) {
	t.Helper()
	addr = servicetest.Redis(t).Addr
	store, client = connect(t, addr)
	opened.Store(addr, redistest.Open(t, client, stock.PartitionsDefault, store))
	return addr, store, client
}

// TestSweepersOfARealRedis has two sweepers, each as in a process of its own, at work while
// reservations with short and long holds are made.
func TestSweepersOfARealRedis(t *testing.T) {
	t.Parallel()
	addr, store, _ := openRedis(t)
	seen := newJournal()
	for range 2 {
		own, _ := connect(t, addr)
		start(t, &Sweeper{Store: own, Publish: seen.publish})
	}
	n, long := 0, stock.Cell{SKU: 999}
	load(t, store, long, 1, time.Hour)
	reserve(t, store, long, "a", 1)
	for sku := int64(1); sku <= 100; sku++ {
		cell := stock.Cell{SKU: sku}
		load(t, store, cell, 20, time.Duration(1+5*sku)*time.Millisecond)
		n += len(reserve(t, store, cell, "a", 20))
	}
	seen.wait(t, n)
	for sku := int64(1); sku <= 100; sku++ {
		wantAvail(t, store, stock.Cell{SKU: sku}, 20)
	}
	states, _, err := store.Cells(t.Context(), []stock.Cell{long})
	if err != nil || states[0].Held != 1 {
		t.Errorf("%+v, error %v: nothing was due there", states, err)
	}
	if seen.doubles != 0 || seen.broken != nil {
		t.Errorf("%d reservations expired twice, error %v", seen.doubles, seen.broken)
	}
	for id, late := range seen.late {
		if late < 0 || late > 10*promise { // tests share a machine
			t.Errorf("%v expired %v after its deadline", id, late)
		}
	}
}

// wait waits until so many reservations have expired.
func (j *journal) wait(t testing.TB, n int) {
	t.Helper()
	giveUp := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for j.len() < n {
		select {
		case <-look.C:
		case <-giveUp:
			t.Fatalf("%d of %d reservations expired", j.len(), n)
		}
	}
}
