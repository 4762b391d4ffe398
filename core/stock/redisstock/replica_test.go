package redisstock_test

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/deploy/local"
	"sluice/deploy/local/servicetest"
)

// replicate decides vectors of one reserve each, of which a replica must know.
func replicate(s *shop, cells ...stock.Cell) []*stock.Vector {
	s.Helper()
	var vectors []*stock.Vector
	for _, cell := range cells {
		vectors = append(vectors, &stock.Vector{
			Op: stock.OpReserve, Partition: partition(cell), Replicate: true,
			Requests: []stock.Request{take(stock.OpReserve, cell, 1, 1)},
		})
	}
	s.Do(s.Context(), vectors...)
	for _, v := range vectors {
		if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
			s.Errorf("%v: outcomes %v, error %v", v.Requests[0].Cell, v.Outcomes, v.Err)
		}
	}
	return vectors
}

func TestReplicate(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	s := newShop(t, connect(t, primary.Addr), redisstock.Config{ReplicaTimeout: 10 * time.Second})
	open(t, s.client)

	for _, v := range replicate(s, s.load(10, stock.Settings{}), s.load(10, stock.Settings{})) {
		if !v.Replicated {
			t.Error("a replica is there, but the vector is not replicated")
		}
	}

	if err := replica.Stop(); err != nil {
		t.Fatal(err)
	}
	// The wait is longer than a call may take: without a replica it is in vain, but not unknown.
	alone := newShop(t, s.client, redisstock.Config{CallTimeout: 5 * time.Second, ReplicaTimeout: 5100 * time.Millisecond})
	for _, v := range replicate(alone, alone.load(10, stock.Settings{})) {
		if v.Replicated {
			t.Error("there is no replica, but the vector is replicated")
		}
	}
}

// TestReplayBehindAStalledLink repeats, over another connection, a request that no replica has. The link to
// the replica is up all the time, and nothing gets through it for a while.
func TestReplayBehindAStalledLink(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	link := servicetest.NewLink(t, primary.Addr)
	servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: link.Addr})
	client := connect(t, primary.Addr)
	open(t, client)
	s := newShop(t, client, redisstock.Config{ReplicaTimeout: 300 * time.Millisecond})
	cell := s.load(10, stock.Settings{})
	replicate(s, cell) // so that it knows the replica
	taken, settled := take(stock.OpReserve, cell, 2, 1), take(stock.OpReserve, cell, 3, 1)

	link.Stall()
	s.one(stock.OpReserve, taken)
	s.one(stock.OpReserve, settled)
	s.one(stock.OpConfirm, settled)
	replay := func(s *shop) bool {
		t.Helper()
		vectors := []*stock.Vector{
			{Op: stock.OpReserve, Partition: partition(cell), Replicate: true, Requests: []stock.Request{taken}},
			{Op: stock.OpConfirm, Partition: partition(cell), Replicate: true, Requests: []stock.Request{settled}},
		}
		s.Do(t.Context(), vectors...)
		for _, v := range vectors {
			if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictReplayed {
				t.Fatalf("%v: %v, error %v", v.Op, v.Outcomes, v.Err)
			}
		}
		if vectors[0].Replicated != vectors[1].Replicated {
			t.Errorf("of one pipeline, %v and %v are replicated", vectors[0].Replicated, vectors[1].Replicated)
		}
		return vectors[0].Replicated
	}
	other := newShop(t, connect(t, primary.Addr), redisstock.Config{ReplicaTimeout: 20 * time.Second})
	for _, s := range []*shop{s, newShop(t, client, redisstock.Config{}), newShop(t, connect(t, primary.Addr), redisstock.Config{})} {
		if replay(s) {
			t.Error("no replica has it, but its replay is replicated")
		}
	}
	link.Resume()
	if !replay(other) {
		t.Error("the replica has it, but its replay is not replicated")
	}
}

// TestReplicateOnAFullServer settles while memory is full: the wait's own write is refused.
func TestReplicateOnAFullServer(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	s := newShop(t, connect(t, primary.Addr), redisstock.Config{ReplicaTimeout: 20 * time.Second})
	open(t, s.client)
	cell := s.load(10, stock.Settings{})
	reserved := replicate(s, cell)[0].Requests[0]
	s.must("CONFIG", "", "SET", "maxmemory", "1")
	v := &stock.Vector{Op: stock.OpConfirm, Partition: partition(cell), Replicate: true, Requests: []stock.Request{reserved}}
	s.Do(t.Context(), v)
	if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK || !v.Replicated {
		t.Errorf("confirm on a full server: %v, error %v, replicated %v", v.Outcomes, v.Err, v.Replicated)
	}
}

// TestReplicateOnCluster sends vectors of all three nodes at once. The nodes have no replicas, so that
// only the effects can be seen, and that nobody claims more.
func TestReplicateOnCluster(t *testing.T) {
	t.Parallel()
	s := newShop(t, onCluster(t), redisstock.Config{ReplicaTimeout: 50 * time.Millisecond})
	var cells []stock.Cell
	nodes := map[string]bool{}
	for len(cells) < 24 || len(nodes) < 3 && len(cells) < 500 {
		cell := s.load(10, stock.Settings{})
		cells = append(cells, cell)
		node, err := s.NodeOf(partition(cell))
		if err != nil {
			t.Fatal(err)
		}
		nodes[node] = true
	}
	if len(nodes) != 3 {
		t.Errorf("%d cells are on nodes %v, want 3 of them", len(cells), nodes)
	}
	for _, v := range replicate(s, cells...) {
		if v.Replicated {
			t.Error("there is no replica, but the vector is replicated")
		}
	}
}

// TestHungNodeStopsNoOther stops one node of a cluster without closing its connections. Calls to the
// others must not wait for it, neither those of a store that knows the cluster nor the first one of a new store.
func TestHungNodeStopsNoOther(t *testing.T) {
	t.Parallel()
	client := onCluster(t)
	cfg := redisstock.Config{CallTimeout: time.Second, ReplicaTimeout: 20 * time.Millisecond}
	s, spare := newShop(t, client, cfg), newShop(t, client, redisstock.Config{})
	var healthy []stock.Cell // one on each of the other nodes
	hung := spare.load(10, stock.Settings{})
	nodeOf := func(cell stock.Cell) string {
		t.Helper()
		node, err := s.NodeOf(partition(cell))
		if err != nil || node == "" {
			t.Fatalf("node %q, error %v", node, err)
		}
		return node
	}
	for known := map[string]bool{nodeOf(hung): true}; len(known) < 3; {
		if cell := spare.load(10, stock.Settings{}); !known[nodeOf(cell)] {
			known[nodeOf(cell)] = true
			healthy = append(healthy, cell)
		}
	}
	hang(t, spare, nodeOf(hung))

	reserve := func(s *shop, cell stock.Cell, user int64) *stock.Vector {
		v := &stock.Vector{
			Op: stock.OpReserve, Partition: partition(cell), Replicate: true,
			Requests: []stock.Request{take(stock.OpReserve, cell, user, 1)},
		}
		s.Do(t.Context(), v)
		return v
	}
	for user := int64(1); user <= 2; user++ {
		if v := reserve(s, hung, user); !errors.Is(v.Err, stock.ErrUnknown) {
			t.Errorf("on the hung node: error is %v, want unknown", v.Err)
		}
		for _, shop := range []*shop{s, newShop(t, client, cfg)} {
			for _, cell := range healthy {
				if v := reserve(shop, cell, user); v.Err != nil {
					t.Errorf("on a healthy node: %v", v.Err)
				}
			}
		}
	}
}

// hang stops the process of a node until the test ends.
func hang(t *testing.T, s *shop, addr string) {
	t.Helper()
	node := s.client.Nodes()[addr]
	info, err := node.Do(t.Context(), node.B().Info().Section("server").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(info, "process_id:")
	line, _, _ = strings.Cut(line, "\r\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
}
