// Package storetest gives the edge's tests a store on a real, private Redis, and stock in it.
package storetest

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// Server is a private Redis, open for a deployment.
type Server struct {
	*redisstock.Store
	Client rueidis.Client
	Redis  *local.Redis // nil where it is a cluster
	addrs  []string
	marks  []stock.Mark
}

// Start starts a private Redis and opens it. It ends with the test.
func Start(t testing.TB, partitions int) *Server {
	t.Helper()
	redis := servicetest.Redis(t)
	s := open(t, partitions, redis.Addr)
	s.Redis = redis
	return s
}

// StartCluster starts a private Redis Cluster and opens it. It ends with the test.
func StartCluster(t testing.TB, partitions int) *Server {
	t.Helper()
	return open(t, partitions, servicetest.RedisCluster(t).Addrs...)
}

func open(t testing.TB, partitions int, addrs ...string) *Server {
	t.Helper()
	s := &Server{addrs: addrs}
	s.Store, s.Client = s.Connect(t, partitions, nil)
	s.marks = redistest.Open(t, s.Client, partitions, s.Store)
	return s
}

// Connect makes another store on the server, as another node would have; option may change how its
// client works.
func (s *Server) Connect(t testing.TB, partitions int, option func(*rueidis.ClientOption)) (*redisstock.Store, rueidis.Client) {
	t.Helper()
	o := redis.Options(s.addrs, "", "")
	if option != nil {
		option(&o)
	}
	client, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{
		Partitions:       partitions,
		CallTimeout:      20 * time.Second, // tests share a machine
		OutboxEntriesMax: 1 << 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	store.Trust(s.marks)
	return store, client
}

// CPU is the CPU time that Redis' main thread has used so far.
func (s *Server) CPU(t testing.TB) time.Duration {
	t.Helper()
	text, err := s.Client.Do(t.Context(), s.Client.B().Info().Section("cpu").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			total += seconds
		}
	}
	return time.Duration(total * float64(time.Second))
}

// Load makes cells with so many units each, and checks that they are there.
func Load(t testing.TB, store stock.Store, units int64, settings stock.Settings, cells ...stock.Cell) {
	t.Helper()
	if settings.Hold == 0 {
		settings.Hold = stock.HoldDefault
	}
	const atOnce = 4096
	for len(cells) > 0 {
		some := cells[:min(atOnce, len(cells))]
		cells = cells[len(some):]
		requests := make([]stock.Request, len(some))
		for i, cell := range some {
			requests[i] = stock.Request{
				ID: stock.Identity{
					User: 1, Route: stock.OpAdjust, Cell: cell, Key: "load",
				}.ID(store.Partitions()),
				Cell: cell,
				User: 1,
				Adjustment: &stock.Adjustment{
					Kind: stock.AdjustPlain, Create: true, Delta: units, Settings: settings, Reason: "test",
				},
			}
		}
		for i, d := range stock.DoAll(context.Background(), store, stock.OpAdjust, requests) {
			if d.Err != nil || d.Verdict != stock.VerdictOK {
				t.Fatalf("load %v: %v, %v", some[i], d.Verdict, d.Err)
			}
		}
	}
}

// Take is a request for one unit.
func Take(cell stock.Cell, user int64, key string, partitions int) *stock.Request {
	return &stock.Request{
		ID:          stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: key}.ID(partitions),
		Cell:        cell,
		User:        user,
		Quantity:    1,
		Fingerprint: stock.FingerprintOf(1),
	}
}

// Decide has the store decide one request, and fails the test if it cannot.
func Decide(t testing.TB, store stock.Store, op stock.Op, r *stock.Request) stock.Outcome {
	t.Helper()
	d := stock.DoAll(context.Background(), store, op, []stock.Request{*r})[0]
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	return d.Outcome
}
