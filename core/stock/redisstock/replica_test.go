package redisstock_test

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// replicateAll decides vectors of one reserve each. A replica must know of each.
func (s *shop) replicateAll(user int64, cells ...stock.Cell) []*stock.Vector {
	var vectors []*stock.Vector
	for _, cell := range cells {
		vectors = append(vectors, &stock.Vector{
			Op: stock.OpReserve, Partition: partition(cell), Replicate: true,
			Requests: []stock.Request{take(stock.OpReserve, cell, user, 1)},
		})
	}
	s.Do(s.Context(), vectors...)
	return vectors
}

// replicate is replicateAll for a user who is refused nothing.
func replicate(s *shop, cells ...stock.Cell) []*stock.Vector {
	s.Helper()
	vectors := s.replicateAll(1, cells...)
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
	s.open()

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
	s.open()
	cell := s.load(10, stock.Settings{})
	reserved := replicate(s, cell)[0].Requests[0]
	s.must("CONFIG", "", "SET", "maxmemory", "1")
	v := &stock.Vector{Op: stock.OpConfirm, Partition: partition(cell), Replicate: true, Requests: []stock.Request{reserved}}
	s.Do(t.Context(), v)
	if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK || !v.Replicated {
		t.Errorf("confirm on a full server: %v, error %v, replicated %v", v.Outcomes, v.Err, v.Replicated)
	}
}

// TestReplicateOnCluster sends vectors of all three nodes at once. Each node has a replica. Then one
// replica hangs: nothing is taken any more on its primary, and the others go on.
func TestReplicateOnCluster(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisClusterWithReplicas(t)
	client := connect(t, cluster.Addrs...)
	open(t, client)
	s := newShop(t, client, redisstock.Config{ReplicaTimeout: 20 * time.Second})
	var cells []stock.Cell
	cellsOf := map[string]int{}
	for len(cells) < 24 || len(cellsOf) < 3 && len(cells) < 500 {
		cell := s.load(10, stock.Settings{Ack: stock.AckReplica})
		cells = append(cells, cell)
		cellsOf[s.nodeOf(cell)]++
	}
	for _, v := range replicate(s, cells...) {
		if !v.Replicated {
			t.Errorf("partition %d: its node has a replica, but the vector is not replicated", v.Partition)
		}
	}
	if len(cellsOf) != 3 {
		t.Errorf("%d cells are on nodes %v, want 3 of them", len(cells), cellsOf)
	}

	hang(t, cluster.Nodes[3].PID())
	alone := cluster.Addrs[0]
	hurried := newShop(t, client, redisstock.Config{ReplicaTimeout: 300 * time.Millisecond})
	refused := 0
	for _, v := range hurried.replicateAll(2, cells...) {
		if v.Err != nil {
			t.Fatal(v.Err)
		}
		want := stock.VerdictOK
		if hurried.nodeOf(v.Requests[0].Cell) == alone {
			want = stock.VerdictReplicaMissing
			refused++
		}
		if got := v.Outcomes[0].Verdict; got != want || v.Replicated != (want == stock.VerdictOK) {
			t.Errorf("%v, replicated %v; want %v", got, v.Replicated, want)
		}
	}
	if refused != cellsOf[alone] || refused == 0 {
		t.Errorf("%d vectors refused, want the %d of the node without a replica", refused, cellsOf[alone])
	}
}

// TestReplicaMissing reserves from a cell of the level replica while there is no replica, when there is one, and while
// the link to it is stalled. A refusal takes no units.
func TestReplicaMissing(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	s := newShop(t, connect(t, primary.Addr), redisstock.Config{ReplicaTimeout: 200 * time.Millisecond})
	s.open()
	cell := s.load(1000, stock.Settings{Ack: stock.AckReplica})
	user := int64(0)
	try := func() (stock.Verdict, bool) {
		t.Helper()
		user++
		v := s.replicateAll(user, cell)[0]
		if v.Err != nil {
			t.Fatal(v.Err)
		}
		return v.Outcomes[0].Verdict, v.Replicated
	}
	// until repeats try until it is answered so: a replica's death and return need a wait to be seen.
	until := func(want stock.Verdict) {
		t.Helper()
		giveUp := time.Now().Add(time.Minute)
		for got, _ := try(); got != want; got, _ = try() {
			if time.Now().After(giveUp) {
				t.Fatalf("answered %v, want %v", got, want)
			}
		}
	}

	warned := func(want bool) {
		t.Helper()
		warning, err := s.ReplicaWarning(t.Context())
		if err != nil || strings.HasPrefix(warning, "no replica keeps up with redis: ") != want {
			t.Errorf("warning %q, error %v", warning, err)
		}
	}

	warned(true)
	before := s.dump(partition(cell))
	for range 3 {
		if got, _ := try(); got != stock.VerdictReplicaMissing {
			t.Fatalf("without a replica: %v, want replica_missing", got)
		}
	}
	after := s.dump(partition(cell))
	delete(after, redisstock.WaitKey(partition(cell)))
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("a refusal changed something (-before +after):\n%s", diff)
	}

	link := servicetest.NewLink(t, primary.Addr)
	servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: link.Addr})
	until(stock.VerdictOK)
	warned(false)

	link.Stall()
	until(stock.VerdictReplicaMissing)
	held := s.state(cell).Held
	for range 3 {
		if got, _ := try(); got != stock.VerdictReplicaMissing {
			t.Errorf("behind a stalled link: %v, want replica_missing", got)
		}
	}
	if got := s.state(cell).Held; got != held {
		t.Errorf("%d units are held, want %d as before: a refusal took some", got, held)
	}

	link.Resume()
	until(stock.VerdictOK)
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
	for known := map[string]bool{s.nodeOf(hung): true}; len(known) < 3; {
		if cell := spare.load(10, stock.Settings{}); !known[s.nodeOf(cell)] {
			known[s.nodeOf(cell)] = true
			healthy = append(healthy, cell)
		}
	}
	hang(t, spare.pidOf(s.nodeOf(hung)))

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
		for _, shop := range []*shop{s, restarted(s, cfg)} {
			for _, cell := range healthy {
				if v := reserve(shop, cell, user); v.Err != nil {
					t.Errorf("on a healthy node: %v", v.Err)
				}
			}
		}
	}
}

// nodeOf is the address of the node that has a cell.
func (s *shop) nodeOf(cell stock.Cell) string {
	s.Helper()
	node, err := s.NodeOf(partition(cell))
	if err != nil || node == "" {
		s.Fatalf("node %q, error %v", node, err)
	}
	return node
}

// pidOf is the process of a node.
func (s *shop) pidOf(addr string) int {
	s.Helper()
	node := s.client.Nodes()[addr]
	info, err := node.Do(s.Context(), node.B().Info().Section("server").Build()).ToString()
	if err != nil {
		s.Fatal(err)
	}
	_, line, _ := strings.Cut(info, "process_id:")
	line, _, _ = strings.Cut(line, "\r\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		s.Fatal(err)
	}
	return pid
}

// hang stops a process until the test ends.
func hang(t *testing.T, pid int) {
	t.Helper()
	t.Cleanup(pause(t, pid))
}

// pause stops a process until it is resumed.
func pause(t *testing.T, pid int) (resume func()) {
	t.Helper()
	send := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(pid, sig); err != nil {
			t.Error(err)
		}
	}
	send(syscall.SIGSTOP)
	return func() { send(syscall.SIGCONT) }
}
