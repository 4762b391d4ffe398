package redisstock_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/stocktest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := useMutant(*mutantName); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	// A cluster client leaves the closing of connections to lost nodes to a sleeping goroutine, and its next
	// look at the cluster too.
	goleak.VerifyTestMain(servicetest.Main(m),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// fixture makes fixtures that share an open server.
func fixture(client rueidis.Client) func(t *testing.T) stocktest.Fixture {
	return func(*testing.T) stocktest.Fixture {
		return stocktest.Fixture{
			Open: func(t testing.TB, o stocktest.Options) stocktest.Store {
				return newStore(t, client, redisstock.Config{
					Retention:        o.Retention,
					OutboxEntriesMax: o.OutboxEntriesMax,
					Ack:              o.Ack,
				})
			},
			Corrupt: func(t testing.TB, cell stock.Cell, avail, held int64) {
				edit(t, client, cell, func(value []byte) {
					addUnits(value[:availEnd+1], avail)
					addUnits(value[:heldEnd+1], held)
				})
			},
			Lose: func(t testing.TB, cell stock.Cell) {
				key, field := redisstock.CellsKey(partition(cell)), string(cell.Append(nil))
				if err := client.Do(t.Context(), client.B().Hdel().Key(key).Field(field).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			},
			Vouch: func(t testing.TB, cell stock.Cell, users int64) int64 {
				s := newStore(t, client, redisstock.Config{})
				of := redisstock.UserSet{Partition: partition(cell), Sale: cell.Pool}
				there, err := s.Vouch(t.Context(), of, s.Marks()[of.Partition], users)
				if err != nil {
					t.Fatal(err)
				}
				return there
			},
			LoseUser: func(t testing.TB, cell stock.Cell, user int64) {
				key, member := redisstock.RegisteredKey(partition(cell), cell.Pool), string(binary.BigEndian.AppendUint64(nil, uint64(user)))
				if err := client.Do(t.Context(), client.B().Srem().Key(key).Member(member).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			},
			AgeBasket: func(t testing.TB, id stock.ReservationID) {
				key, field := redisstock.BasketsKey(id.Partition()), string(id[:])
				value, err := client.Do(t.Context(), client.B().Hget().Key(key).Field(field).Build()).AsBytes()
				if err != nil {
					t.Fatal(err)
				}
				value[2], value[3] = 0, 0 // no nonce ends so
				if err := client.Do(t.Context(), client.B().Hset().Key(key).FieldValue().FieldValue(field, string(value)).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			},
			LoseBasket: func(t testing.TB, id stock.ReservationID) {
				key := redisstock.BasketsKey(id.Partition())
				if err := client.Do(t.Context(), client.B().Hdel().Key(key).Field(string(id[:])).Build()).Error(); err != nil {
					t.Fatal(err)
				}
			},
		}
	}
}

// addUnits adds to the counter that ends a part of a packed value, and that stays above 0.
func addUnits(value []byte, units int64) {
	for i := len(value) - 1; units != 0; i-- { // units counts down to 0
		units += int64(value[i])
		value[i] = byte(units)
		units >>= 8
	}
}

// TestStore tests the contract of all stores and compares the store with the model, on one server and on a cluster. A
// cluster refuses undeclared keys and keys of other slots.
func TestStore(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]func(*testing.T) rueidis.Client{"server": onServer, "cluster": onCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newFixture := fixture(connected(t))
			t.Run("simulation", func(t *testing.T) {
				t.Parallel()
				stocktest.Simulate(t, fixture(connected(t))) // nothing else may sweep its partitions
			})
			t.Run("conformance", func(t *testing.T) {
				t.Parallel()
				stocktest.Run(t, newFixture)
			})
			t.Run("concurrent clients", func(t *testing.T) {
				t.Parallel()
				stocktest.Concurrent(t, fixture(connected(t))) // it has its own retention, too
			})
		})
	}
}
