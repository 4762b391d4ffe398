package redisstock_test

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
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

// TestNodeThatIsGivenUp kills one primary of a cluster, and asks about all partitions after the others have given it up: only its
// own must fail. Servers of version 8 or later leave it out of what clients learn of the cluster, so that its slots have no node.
func TestNodeThatIsGivenUp(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	client := connect(t, cluster.Addrs...)
	open(t, client)
	s := newShop(t, client, redisstock.Config{})
	dead := cluster.Addrs[0]
	var sets []redisstock.UserSet
	away := make([]bool, stock.PartitionsDefault)
	for p := range away {
		addr, err := s.NodeOf(p)
		if err != nil {
			t.Fatal(err)
		}
		away[p] = addr == dead
		sets = append(sets, redisstock.UserSet{Partition: p, Sale: 1})
	}
	for range 30 {
		s.load(1, stock.Settings{}) // an entry for some outboxes
	}
	before := s.OutboxEnds(t.Context())

	nodes := client.Nodes()
	for _, node := range nodes {
		for name, value := range map[string]string{"cluster-node-timeout": "1000", "cluster-require-full-coverage": "no"} {
			if err := node.Do(t.Context(), node.B().ConfigSet().ParameterValue().ParameterValue(name, value).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cluster.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for giveUp := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(giveUp) {
				t.Fatalf("after a minute it does not hold yet: %s", what)
			}
		}
	}
	for _, addr := range cluster.Addrs[1:] {
		if !online(t, nodes[addr], addr) {
			t.Fatalf("%s does not say that it is online", addr)
		}
		until("the others give the node up", func() bool { return !online(t, nodes[addr], dead) })
	}
	fresh := connect(t, cluster.Addrs...)
	if _, known := fresh.Nodes()[dead]; !known {
		until("the client has learnt it", func() bool { return client.Nodes()[dead] == nil })
	}

	check := func(who string, s *redisstock.Store) {
		t.Helper()
		if err := s.CheckDeployment(t.Context(), "test"); err != nil {
			t.Errorf("%s: check of the deployment: %v", who, err)
		}
		for p, ends := range s.OutboxEnds(t.Context()) {
			if (ends.Err != nil) != away[p] || ends.Err == nil && ends != before[p] {
				t.Errorf("%s: partition %d, away: %v: ends %v, before %v", who, p, away[p], ends, before[p])
			}
		}
		added, err := s.RegisterAll(t.Context(), sets, []int64{1})
		counts, err2 := s.CountUsers(t.Context(), sets)
		states, err3 := s.LookAtUsers(t.Context(), sets, s.Marks())
		if err == nil || err2 == nil || err3 == nil {
			t.Errorf("%s: users of partitions that are away: %v, %v, %v", who, err, err2, err3)
		}
		for p := range sets {
			if (added[p] < 0) != away[p] || (counts[p] != 1) != away[p] || (states[p].Users != 1) != away[p] {
				t.Errorf("%s: partition %d, away: %v: added %d users, counts %d and %d", who, p, away[p], added[p], counts[p], states[p].Users)
			}
		}
	}
	newcomer := &shop{TB: t, client: fresh, Store: s.Store}
	check("a new process", restarted(newcomer, redisstock.Config{CallTimeout: 20 * time.Second}).Store)
	check("one that ran before", s.Store)
}

// online tells whether a node of a cluster tells clients that another one is online.
func online(t *testing.T, node rueidis.Client, addr string) bool {
	t.Helper()
	shards, err := node.Do(t.Context(), node.B().ClusterShards().Build()).ToAny()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`health:online [^\]]*port:` + port + ` `).MatchString(fmt.Sprint(shards)) // a map has its keys in order
}
