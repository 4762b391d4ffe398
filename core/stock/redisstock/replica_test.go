package redisstock_test

import (
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
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary})
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
