package redisstock_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/stocktest"
	"sluice/deploy/local/servicetest"
)

func TestMain(m *testing.M) {
	// A cluster client leaves the closing of connections to lost nodes to a sleeping goroutine.
	goleak.VerifyTestMain(servicetest.Main(m),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

// noEvidence knows nothing.
type noEvidence struct{}

func (noEvidence) Highest(context.Context, func(stock.Cell, stock.Mark) error) error { return nil }

// connect makes a client that is closed with the test.
func connect(t testing.TB, addrs ...string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(redisstock.ClientOptions(addrs, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// open opens a server for a deployment of the default number of partitions.
func open(t testing.TB, client rueidis.Client) {
	t.Helper()
	_, err := redisstock.Open(t.Context(), client, redisstock.OpenConfig{
		Partitions: stock.PartitionsDefault,
		Deployment: "test",
		Evidence:   noEvidence{},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// newStore makes a store with time to spare, because tests share a machine.
func newStore(t testing.TB, client rueidis.Client, cfg redisstock.Config) *redisstock.Store {
	t.Helper()
	cfg.Partitions = stock.PartitionsDefault
	cfg.CallTimeout = 20 * time.Second
	s, err := redisstock.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixture makes fixtures that share an open server.
func fixture(client rueidis.Client) func(t *testing.T) stocktest.Fixture {
	return func(*testing.T) stocktest.Fixture {
		return stocktest.Fixture{
			Open: func(t testing.TB, o stocktest.Options) stocktest.Store {
				return newStore(t, client, redisstock.Config{
					Retention:        o.Retention,
					OutboxEntriesMax: o.OutboxEntriesMax,
				})
			},
			Corrupt: func(t testing.TB, cell stock.Cell) { addToAvail(t, client, cell) },
		}
	}
}

func onServer(t *testing.T) rueidis.Client {
	t.Helper()
	client := connect(t, servicetest.Redis(t).Addr)
	open(t, client)
	return client
}

func onCluster(t *testing.T) rueidis.Client {
	t.Helper()
	client := connect(t, servicetest.RedisCluster(t).Addrs...)
	open(t, client)
	return client
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]func(*testing.T) rueidis.Client{"server": onServer, "cluster": onCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stocktest.Run(t, fixture(connected(t)))
		})
	}
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]func(*testing.T) rueidis.Client{"server": onServer, "cluster": onCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stocktest.Simulate(t, fixture(connected(t)))
		})
	}
}

func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]func(*testing.T) rueidis.Client{"server": onServer, "cluster": onCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stocktest.Concurrent(t, fixture(connected(t)))
		})
	}
}

// addToAvail adds one to the last byte of a cell's avail, as a person at the console might.
func addToAvail(t testing.TB, client rueidis.Client, cell stock.Cell) {
	t.Helper()
	key, field := redisstock.CellsKey(cell.Partition(stock.PartitionsDefault)), string(cell.Append(nil))
	value, err := client.Do(t.Context(), client.B().Hget().Key(key).Field(field).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	edited := []byte(value)
	edited[5]++
	err = client.Do(t.Context(), client.B().Hset().Key(key).FieldValue().FieldValue(field, string(edited)).Build()).Error()
	if err != nil {
		t.Fatal(err)
	}
}
