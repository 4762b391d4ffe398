package edge_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// node is a client of one server alone.
func node(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	option := redis.Options([]string{addr}, "", "")
	option.ForceSingleClient = true
	client, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// buyers are shoppers who repeat a request until it is acknowledged, and then make the next.
type buyers struct {
	*stack
	pace         time.Duration // between two tries of a shopper
	may          []string      // codes that requests may be refused with
	shoppers     sync.WaitGroup
	stop         chan struct{}
	acknowledged atomic.Int64
	mu           sync.Mutex
	refusals     map[string]int // by code
	ids          map[string]bool
	took         map[int64][]time.Duration // by SKU, how long acknowledged requests took
}

// buyAll has shoppers buy single units of some SKUs until end, as fast as they can.
func (s *stack) buyAll(skus ...int64) *buyers { return s.buySteadily(0, skus...) }

// buySteadily has shoppers buy single units of some SKUs until end. Each makes a pause after every answer.
func (s *stack) buySteadily(pace time.Duration, skus ...int64) *buyers {
	return s.buyAtOnce(8, pace, skus...)
}

// buyAtOnce is buySteadily with so many shoppers. Each makes a longer pause after a refusal.
func (s *stack) buyAtOnce(shoppers int, pace time.Duration, skus ...int64) *buyers {
	b := &buyers{stack: s, pace: pace, may: []string{"unavailable"}, stop: make(chan struct{}), refusals: map[string]int{}, ids: map[string]bool{}, took: map[int64][]time.Duration{}}
	failed := make(chan struct{})
	s.t.Cleanup(func() { // before the edge ends
		close(failed)
		b.shoppers.Wait()
	})
	for i := range shoppers {
		token, sku := s.token(int64(i+1), auth.RoleShopper), skus[i%len(skus)]
		b.shoppers.Go(func() {
			for n := 0; ; {
				asked := time.Now()
				got, err := s.trySend("POST", "/v1/reservations", token, fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku), "Idempotency-Key", fmt.Sprint(n))
				if err != nil {
					s.t.Error(err)
					return
				}
				b.mu.Lock()
				if got.status == http.StatusCreated {
					b.ids[got.text("reservation_id")] = true
					b.took[sku] = append(b.took[sku], time.Since(asked))
					n++
					b.acknowledged.Add(1)
				} else {
					b.refusals[got.code()]++
				}
				b.mu.Unlock()
				pace := b.pace
				if got.status != http.StatusCreated {
					pace = max(pace, steady)
				}
				time.Sleep(pace)
				stop := b.stop
				if got.status != http.StatusCreated { // the last request of each is settled too, unless the test has failed
					stop = failed
				}
				select {
				case <-stop:
					return
				case <-failed:
					return
				default:
				}
			}
		})
	}
	return b
}

// goOn waits until all SKUs have sold again.
func (b *buyers) goOn(what string, skus ...int64) {
	b.t.Helper()
	start := time.Now()
	held := func() (held []int64) {
		states, _, err := b.store().Cells(b.t.Context(), cellsOf(skus))
		if err != nil {
			return nil
		}
		for _, c := range states {
			held = append(held, c.Held)
		}
		return held
	}
	var before []int64
	b.until(promotionWithin, "every SKU can be looked at: "+what, func() bool { before = held(); return before != nil })
	b.until(promotionWithin, "every SKU sells: "+what, func() bool {
		now := held()
		if now == nil {
			return false
		}
		for i := range now {
			if now[i] < before[i]+20 {
				return false
			}
		}
		return true
	})
	b.t.Logf("%s: all sell after %v", what, time.Since(start).Round(time.Millisecond))
}

func cellsOf(skus []int64) (cells []stock.Cell) {
	for _, sku := range skus {
		cells = append(cells, stock.Cell{SKU: sku})
	}
	return cells
}

// end holds that each request that was acknowledged has had one effect, and no other has had any.
func (b *buyers) end(skus ...int64) {
	b.t.Helper()
	close(b.stop)
	b.shoppers.Wait()
	states, _, err := b.store().Cells(b.t.Context(), cellsOf(skus))
	if err != nil {
		b.t.Fatal(err)
	}
	held := int64(0)
	for _, c := range states {
		held += c.Held
	}
	if n := int64(len(b.ids)); held != n || n != b.acknowledged.Load() {
		b.t.Errorf("%d units are held, for %d requests with %d reservations", held, b.acknowledged.Load(), n)
	}
	b.t.Logf("%d sold; refused: %v", held, b.refusals)
	for code := range b.refusals {
		if !slices.Contains(b.may, code) {
			b.t.Errorf("%d requests were answered %s", b.refusals[code], code)
		}
	}
}

// onEachPrimary finds a SKU for each primary.
func (s *stack) onEachPrimary(cluster *local.RedisCluster) (skus []int64) {
	s.t.Helper()
	store := s.store()
	for _, addr := range cluster.Addrs[:3] {
		for sku := int64(1); ; sku++ {
			at, err := store.NodeOf(stock.Cell{SKU: sku}.Partition(s.cfg.Stock.Partitions))
			if err != nil {
				s.t.Fatal(err)
			}
			if at == addr {
				skus = append(skus, sku)
				break
			}
		}
	}
	return skus
}

// TestGracefulFailoverUnderSales exchanges a primary and its replica, again and again, as an upgrade of servers does.
// Callers meet the primary of before until they learn of the new one. It executes nothing for them, so they are told to
// repeat, and sales go on by themselves.
func TestGracefulFailoverUnderSales(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisClusterWithReplicas(t)
	s := newStack(t, cluster.Addrs...)
	s.start()
	skus := s.onEachPrimary(cluster)
	for _, sku := range skus {
		s.load(sku, 1_000_000, "")
	}
	var nodes []rueidis.Client
	for _, addr := range cluster.Addrs {
		nodes = append(nodes, node(t, addr))
	}
	ask := func(node int, words ...string) string {
		answer, _ := nodes[node].Do(t.Context(), nodes[node].B().Arbitrary(words...).Build()).ToString()
		return answer
	}
	b := s.buyAll(skus...)
	b.goOn("at first", skus...)
	knows := func(voter, replica, primary int) bool {
		for line := range strings.Lines(ask(voter, "CLUSTER", "NODES")) {
			if strings.Contains(line, ask(replica, "CLUSTER", "MYID")+" ") {
				return strings.Contains(line, "slave "+ask(primary, "CLUSTER", "MYID"))
			}
		}
		return false
	}
	for _, step := range []struct{ from, to int }{{0, 3}, {3, 0}} {
		s.until(promotionWithin, "all who vote know the replica", func() bool {
			return knows(step.from, step.to, step.from) && knows(1, step.to, step.from) && knows(2, step.to, step.from)
		})
		if answer := ask(step.to, "CLUSTER", "FAILOVER"); answer != "OK" {
			t.Fatalf("failover: %q", answer)
		}
		s.until(promotionWithin, "both know it", func() bool {
			return strings.Contains(ask(step.to, "INFO", "replication"), "role:master") && strings.Contains(ask(step.from, "INFO", "replication"), "role:slave")
		})
		b.goOn(fmt.Sprintf("node %d has taken over from node %d", step.to, step.from), skus...)
	}
	b.end(skus...)
	s.waitReady()
}

// TestReplicaofByHand makes a replica the primary and the primary its replica, by hand and without an edge knowing of it,
// and back. The demoted one executes nothing: callers are told to repeat, and the edge is not ready. Promoted again it sells
// on by itself, what others have sold meanwhile included.
func TestReplicaofByHand(t *testing.T) {
	t.Parallel()
	first := servicetest.Redis(t)
	second := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: first.Addr})
	s, beside := newStack(t, first.Addr), newStack(t, second.Addr)
	s.start()
	const sku = 1
	s.load(sku, 1_000_000, "")
	nodes := map[string]rueidis.Client{first.Addr: node(t, first.Addr), second.Addr: node(t, second.Addr)}
	info := func(addr string) redisstock.About {
		answer, _ := nodes[addr].Do(t.Context(), nodes[addr].B().Info().Section("replication").Build()).ToString()
		return redisstock.About(answer)
	}
	run := func(addr string, words ...string) {
		t.Helper()
		if err := nodes[addr].Do(t.Context(), nodes[addr].B().Arbitrary(words...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	exchange := func(from, to string) {
		t.Helper()
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			t.Fatal(err)
		}
		run(from, "CLIENT", "PAUSE", "60000", "WRITE") // so that the replica gets all
		s.until(promotionWithin, "the replica has all", func() bool {
			offset := info(from).Field("master_repl_offset")
			return offset != "" && offset == info(to).Field("slave_repl_offset")
		})
		run(to, "REPLICAOF", "NO", "ONE")
		run(from, "REPLICAOF", host, port)
		run(from, "CLIENT", "UNPAUSE")
		s.until(promotionWithin, "it is a replica that is in step", func() bool { return info(from).Field("master_link_status") == "up" })
	}
	b := s.buyAll(sku)
	b.goOn("at first", sku)
	exchange(first.Addr, second.Addr)
	s.until(promotionWithin, "the edge is not ready, and says why", func() bool {
		status, body := s.ready()
		return status == http.StatusServiceUnavailable && strings.Contains(body, "is a slave, want a primary")
	})
	if got := s.send("POST", "/v1/reservations", s.token(99, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); got.status != 503 || got.code() != "unavailable" {
		t.Errorf("at a replica: %d %s", got.status, got.body)
	}

	beside.cfg.MySQL, beside.cfg.Kafka, beside.keys, beside.cfg.TokenKeyFile = s.cfg.MySQL, s.cfg.Kafka, s.keys, s.cfg.TokenKeyFile
	beside.start()
	if got := beside.send("POST", "/v1/reservations", beside.token(100, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); got.status != http.StatusCreated {
		t.Errorf("at the new primary: %d %s", got.status, got.body)
	} else {
		b.mu.Lock()
		b.ids[got.text("reservation_id")] = true
		b.mu.Unlock()
		b.acknowledged.Add(1)
	}
	beside.shutdown()
	exchange(second.Addr, first.Addr)
	b.goOn("the first is primary again", sku)
	s.waitReady()
	b.end(sku)
}
