package redisstock_test

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestMovingSlot moves a partition from one node to another while it is in use. Calls that meet it on
// its way are not executed; none is executed twice.
func TestMovingSlot(t *testing.T) {
	t.Parallel()
	s := newShop(t, onCluster(t), redisstock.Config{})
	cell := s.load(100, stock.Settings{})
	s.reserve(cell, 1, 1)
	from, err := s.NodeOf(partition(cell))
	if err != nil {
		t.Fatal(err)
	}
	nodes := s.client.Nodes()
	var to string
	for addr := range nodes {
		if addr != from {
			to = addr
		}
	}
	command := s.client.B().Exists().Key(redisstock.CellsKey(partition(cell))).Build()
	slot := strconv.Itoa(int(command.Slot()))
	on := func(addr string, words ...string) rueidis.RedisResult {
		t.Helper()
		result := nodes[addr].Do(t.Context(), nodes[addr].B().Arbitrary(words...).Build())
		if err := result.Error(); err != nil {
			t.Fatalf("%v on %s: %v", words, addr, err)
		}
		return result
	}
	name := func(addr string) string {
		t.Helper()
		id, err := on(addr, "CLUSTER", "MYID").ToString()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}

	// Of the keys of a reserve some are not there yet, and a node cannot tell whether they have moved.
	on(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", name(from))
	on(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", name(to))
	deduct := take(stock.OpDeduct, cell, 2, 1)
	if v := s.do(stock.OpDeduct, deduct); !errors.Is(v.Err, stock.ErrNotApplied) {
		t.Errorf("while the slot moves: %v, error %v, want not executed", v.Outcomes, v.Err)
	}

	keys, err := on(from, "CLUSTER", "GETKEYSINSLOT", slot, "100").AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		t.Fatal(err)
	}
	on(from, append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...)
	for _, addr := range []string{to, from} {
		on(addr, "CLUSTER", "SETSLOT", slot, "NODE", name(to))
	}

	if got := s.one(stock.OpDeduct, deduct).Verdict; got != stock.VerdictOK {
		t.Errorf("after the move: %v, want ok", got)
	}
	if got := s.one(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)).Verdict; got != stock.VerdictReplayed {
		t.Errorf("the reserve from before the move: %v, want replayed", got)
	}
	if got, want := s.state(cell).Balances, (stock.Balances{Avail: 98, Held: 1, Sold: 1, Total: 100}); got != want {
		t.Errorf("balances are %+v, want %+v", got, want)
	}
	until := time.Now().Add(20 * time.Second)
	for now := from; now != to; {
		if time.Now().After(until) {
			t.Fatalf("the partition's node is still %s, want %s", now, to)
		}
		if now, err = s.NodeOf(partition(cell)); err != nil {
			t.Fatal(err)
		}
	}
}
