package edge_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// readyWithin is the time that /readyz may take on a busy machine: each check has a second.
const readyWithin = 3 * time.Second

// untilReady asks /readyz, each time in vain for so long at the most, until it answers 200 with a status and names a reason.
func (s *stack) untilReady(status, reason string) {
	s.t.Helper()
	var last string
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("/readyz said last: %s", last)
		}
	})
	s.until(40*time.Second, "/readyz says "+status+" and "+reason, func() bool {
		asked := time.Now()
		code, body := s.ready()
		last = body
		if took := time.Since(asked); took > readyWithin {
			s.t.Errorf("/readyz took %v", took)
		}
		if code != http.StatusOK {
			s.t.Errorf("/readyz fails while most can be sold: %s", body)
			return true
		}
		return strings.HasPrefix(body, `{"status":"`+status+`"`) && strings.Contains(body, reason)
	})
}

// buy reserves one unit, and fails if that takes longer than calls may.
func (s *stack) buy(sku, user int64) answer {
	s.t.Helper()
	asked := time.Now()
	got := s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku))
	if took := time.Since(asked); took > readyWithin {
		s.t.Errorf("a reservation of SKU %d took %v: %d %s", sku, took, got.status, got.body)
	}
	return got
}

// stopped stops a process until the test ends, or it is resumed.
func stopped(t *testing.T, pid int) (resume func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume = func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(resume)
	return resume
}

// TestReadyWithAHungReplica hangs the only replica of an edge whose level is replica.
func TestReadyWithAHungReplica(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	s := newStack(t, primary.Addr)
	s.cfg.Stock.Ack, s.cfg.Redis.CallTimeout = "replica", time.Second
	s.start()
	s.load(1, 100, "")
	s.load(2, 100, `,"ack":"redis"`)
	s.untilReady("ok", "")

	resume := stopped(t, replica.PID())
	s.untilReady("degraded", "no replica keeps up")
	if got := s.buy(1, 7); got.status != http.StatusServiceUnavailable || got.code() != "replica_missing" {
		t.Errorf("at the level replica: %d %s", got.status, got.body)
	}
	if got := s.buy(2, 7); got.status != http.StatusCreated {
		t.Errorf("at the level redis: %d %s", got.status, got.body)
	}
	resume()
	s.untilReady("ok", "")
	if got := s.buy(1, 8); got.status != http.StatusCreated {
		t.Errorf("once the replica is back: %d %s", got.status, got.body)
	}
}

// clustered is a stack on a cluster that has a SKU on each primary.
func clustered(t *testing.T, cluster *local.RedisCluster) (s *stack, client rueidis.Client, skus [3]int64) {
	t.Helper()
	s = newStack(t, cluster.Addrs...)
	s.cfg.Redis.CallTimeout = time.Second
	s.start()
	client = s.redis()
	for sku, found := int64(1), 0; found < len(skus); sku++ {
		node := int(slotOf(client, sku)) * len(skus) / 16384
		if skus[node] == 0 {
			skus[node] = sku
			found++
			s.load(sku, 100, "")
		}
	}
	s.untilReady("ok", "")
	return s, client, skus
}

// slotOf is the slot of the partition that has a SKU.
func slotOf(client rueidis.Client, sku int64) uint16 {
	partition := stock.Cell{SKU: sku}.Partition(stock.PartitionsDefault)
	command := client.B().Exists().Key("{p" + strconv.Itoa(partition) + "}:mark").Build()
	return command.Slot()
}

// TestReadyWithAHungNode hangs first a replica of a cluster, which nobody notices, and then a primary: what it has
// is not sold, and health names it. All others sell.
func TestReadyWithAHungNode(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisClusterWithReplicas(t)
	s, _, skus := clustered(t, cluster)
	stopped(t, cluster.Nodes[5].PID())
	for user := range int64(30) { // calls and probes that pick a node at random
		s.untilReady("ok", "")
		if got := s.buy(skus[2], 1+user); got.status != http.StatusCreated {
			t.Fatalf("with a replica that hangs: %d %s", got.status, got.body)
		}
	}

	resume := stopped(t, cluster.Nodes[0].PID())
	s.untilReady("degraded", "some partitions of redis do not answer")
	for user := range int64(10) {
		s.untilReady("degraded", "some partitions of redis do not answer")
		if got := s.buy(skus[0], 100+user); got.status != http.StatusGatewayTimeout && got.status != http.StatusServiceUnavailable || got.json["retryable"] != true {
			t.Errorf("on the node that hangs: %d %s", got.status, got.body)
		}
		for _, sku := range skus[1:] {
			if got := s.buy(sku, 100+user); got.status != http.StatusCreated {
				t.Errorf("on another node: %d %s", got.status, got.body)
			}
		}
	}
	s.untilReady("degraded", cluster.Addrs[0])
	resume()
	s.untilReady("ok", "")
	s.until(20*time.Second, "what the node has is sold again", func() bool { return s.buy(skus[0], 200).status == http.StatusCreated })
}

// TestReadyDuringAResharding leaves a slot on its way: only what is in it may have to be asked for again.
func TestReadyDuringAResharding(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	s, client, skus := clustered(t, cluster)
	on := func(node int, words ...string) string {
		t.Helper()
		c := client.Nodes()[cluster.Addrs[node]]
		text, err := c.Do(t.Context(), c.B().Arbitrary(words...).Build()).ToString()
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		return text
	}
	slot := strconv.Itoa(int(slotOf(client, skus[0])))
	from, to := on(0, "CLUSTER", "MYID"), on(1, "CLUSTER", "MYID")
	on(1, "CLUSTER", "SETSLOT", slot, "IMPORTING", from)
	on(0, "CLUSTER", "SETSLOT", slot, "MIGRATING", to)
	sells := func(sku, user int64) {
		t.Helper()
		if got := s.buy(sku, user); got.status != http.StatusCreated {
			t.Errorf("SKU %d: %d %s", sku, got.status, got.body)
		}
	}
	move := func() {
		t.Helper()
		c := client.Nodes()[cluster.Addrs[0]]
		keys, err := c.Do(t.Context(), c.B().Arbitrary("CLUSTER", "GETKEYSINSLOT", slot, "1").Build()).AsStrSlice()
		if err != nil || len(keys) == 0 {
			t.Fatalf("keys %v, error %v", keys, err)
		}
		host, port, _ := strings.Cut(cluster.Addrs[1], ":")
		on(0, "MIGRATE", host, port, keys[0], "0", "5000")
	}
	for user := range int64(20) {
		if user == 10 {
			move() // from now on neither node has all of the partition
		}
		s.untilReady("ok", "")
		if got := s.buy(skus[0], 1+user); got.status != http.StatusCreated && (got.status != http.StatusServiceUnavailable || got.json["retryable"] != true) {
			t.Errorf("on the slot that moves: %d %s", got.status, got.body)
		}
		for _, sku := range skus[1:] {
			sells(sku, 1+user)
		}
	}
	host, port, _ := strings.Cut(cluster.Addrs[1], ":")
	keys, err := client.Nodes()[cluster.Addrs[0]].Do(t.Context(), client.B().Arbitrary("CLUSTER", "GETKEYSINSLOT", slot, "100").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		on(0, append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...)
	}
	for node := range cluster.Nodes {
		on(node, "CLUSTER", "SETSLOT", slot, "NODE", to)
	}
	s.untilReady("ok", "")
	s.until(20*time.Second, "the slot that moved sells", func() bool { return s.buy(skus[0], 100).status == http.StatusCreated })
}
