package redisstock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/lua"
)

// failing is a cluster of three primaries, each with a replica, that is put into the middle of a failover.
type failing struct {
	testing.TB
	*local.RedisCluster
	nodes []rueidis.Client // a client of each node alone
	links []*servicetest.Link
}

func newFailing(t testing.TB) *failing {
	t.Helper()
	f := &failing{TB: t, RedisCluster: servicetest.RedisClusterWithReplicas(t)}
	for _, addr := range f.Addrs {
		option := redis.Options([]string{addr}, "", "")
		option.ForceSingleClient = true
		client, err := rueidis.NewClient(option)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		f.nodes = append(f.nodes, client)
	}
	return f
}

// run runs a command on one node.
func (f *failing) run(node int, words ...string) string {
	f.Helper()
	answer, err := f.nodes[node].Do(f.Context(), f.nodes[node].B().Arbitrary(words...).Build()).ToAny()
	if err != nil {
		f.Fatalf("%v on node %d: %v", words, node, err)
	}
	return strings.TrimPrefix(fmt.Sprint(answer), "txt:")
}

// until waits for what nothing signals: the state of other processes.
func (f *failing) until(what string, holds func() bool) {
	f.Helper()
	giveUp := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-giveUp:
			f.Fatalf("after a minute it does not hold yet: %s", what)
		}
	}
}

// sees tells whether one node finds that another has the first slot.
func (f *failing) sees(node, owner int) bool {
	f.Helper()
	id := f.run(owner, "CLUSTER", "MYID")
	for line := range strings.Lines(f.run(node, "CLUSTER", "NODES")) {
		if strings.HasPrefix(line, id) {
			return strings.Contains(line, " 0-")
		}
	}
	return false
}

// detour leads what other nodes tell one through a link.
func (f *failing) detour(node int) *servicetest.Link {
	f.Helper()
	_, own, _ := strings.Cut(f.run(node, "CLUSTER", "NODES"), f.Addrs[node]+"@")
	bus := own[:strings.IndexAny(own, ", ")]
	link := servicetest.NewLink(f, "127.0.0.1:"+bus)
	_, port, _ := strings.Cut(link.Addr, ":")
	f.run(node, "CONFIG", "SET", "cluster-announce-bus-port", port)
	for other := range f.nodes {
		f.until("all know the detour", func() bool {
			return strings.Contains(f.run(other, "CLUSTER", "NODES"), "@"+port)
		})
	}
	return link
}

// promote has the first replica take over from the first primary, which does not learn of it: it answers, and
// thinks that it has its slots.
func (f *failing) promote() {
	f.Helper()
	if f.links == nil {
		f.links = []*servicetest.Link{f.detour(0), f.detour(3)}
	}
	for _, link := range f.links {
		link.Stall()
	}
	f.run(3, "CLUSTER", "FAILOVER", "TAKEOVER")
	for node := 1; node < len(f.nodes); node++ {
		f.until("the replica has taken over", func() bool { return f.sees(node, 3) })
	}
	if !f.sees(0, 0) {
		f.Fatal("the primary of before knows that it is none: the test tests nothing")
	}
}

// agree lets the nodes hear of each other again.
func (f *failing) agree() {
	f.Helper()
	for _, link := range f.links {
		link.Resume()
	}
	f.until("the primary of before knows that it is none", func() bool { return f.sees(0, 3) })
}

// loaded tells whether a node has all scripts.
func (f *failing) loaded(node int) bool {
	f.Helper()
	all, err := lua.All()
	if err != nil {
		f.Fatal(err)
	}
	words := []string{"SCRIPT", "EXISTS"}
	for _, script := range all {
		words = append(words, script.SHA1)
	}
	return !strings.Contains(f.run(node, words...), "0")
}

// on loads a cell that a node has.
func (f *failing) on(s *shop, node int, settings stock.Settings) stock.Cell {
	f.Helper()
	for {
		if cell := s.load(10, settings); s.nodeOf(cell) == f.Addrs[node] {
			return cell
		}
	}
}

// TestOpenInAFailover opens a cluster with a replaced primary that does not know it. A process that sees both primaries
// opens neither. The replaced one gets no script from anybody. When all nodes agree, the new one sells.
func TestOpenInAFailover(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	s, cfg := newShop(t, connect(t, f.Addrs...), redisstock.Config{ReplicaTimeout: 20 * time.Second}), openConfig()
	open := func(client rueidis.Client) error {
		report, err := redisstock.Open(t.Context(), client, cfg)
		if err == nil {
			s.Trust(report.Marks)
		}
		return err
	}
	if err := open(s.client); err != nil {
		t.Fatal(err)
	}
	cell := f.on(s, 0, stock.Settings{})
	replicate(s, cell)

	f.promote()
	f.run(0, "SCRIPT", "FLUSH") // as if it had restarted
	behind := connect(t, f.Addrs[0])
	err := open(behind) // whose picture is that of the primary of before
	if err == nil || errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "disagree about who has slot 0") {
		t.Errorf("opened with two primaries of a slot: %v", err)
	}
	if f.loaded(0) || f.loaded(3) {
		t.Error("scripts were loaded while it was not agreed who has the slots")
	}

	// The slots of both are as many as all of another primary that does not answer.
	dead := f.Nodes[1]
	if err := dead.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := open(behind); err == nil || !strings.Contains(err.Error(), f.Addrs[1]) {
		t.Errorf("opened without %s: %v", f.Addrs[1], err)
	}
	if err := open(connect(t, f.Addrs[2])); err == nil || !strings.Contains(err.Error(), f.Addrs[1]) {
		t.Errorf("opened without %s: %v", f.Addrs[1], err)
	}
	if f.loaded(0) || f.loaded(3) {
		t.Error("scripts were loaded without one of the primaries")
	}
	if err := dead.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	f.agree()
	if err := f.WaitWhole(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.until("redis is open", func() bool {
		_, _ = s.Shut(t.Context()) // as an edge does, whose client so learns who has what
		return open(s.client) == nil
	})
	if !slices.Equal([]bool{f.loaded(0), f.loaded(3)}, []bool{false, true}) {
		t.Error("scripts are not only on the primary of now")
	}
	if got := s.one(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)).Verdict; got != stock.VerdictReplayed {
		t.Errorf("the reserve from before the failover: %v, want replayed", got)
	}
	s.reserve(cell, 2, 1)
}

// TestFailoverDuringVetting replaces a primary after it was looked at. It gets no scripts.
func TestFailoverDuringVetting(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	s, cfg := newShop(t, connect(t, f.Addrs...), redisstock.Config{}), openConfig()
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Fatal(err)
	}
	f.run(0, "SCRIPT", "FLUSH")
	cfg.Evidence = evidenceFunc(func() error { f.promote(); return nil })
	_, err := redisstock.Open(t.Context(), s.client, cfg)
	if err == nil || errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("opened although a primary was replaced: %v", err)
	}
	if f.loaded(0) {
		t.Error("a primary was opened that had been replaced since it was vetted")
	}
	f.agree()
	cfg.Evidence = known{}
	f.until("redis is open", func() bool {
		_, _ = s.Shut(t.Context()) // as an edge does, whose client so learns who has what
		_, err = redisstock.Open(t.Context(), s.client, cfg)
		return err == nil
	})
}

// TestPromotionWithoutTheTail promotes a replica of a cluster that lacks the last effects, and has the scripts of
// a time when it was a primary. It serves nobody, and the others sell on.
func TestPromotionWithoutTheTail(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	s, cfg := newShop(t, connect(t, f.Addrs...), redisstock.Config{ReplicaTimeout: 20 * time.Second}), openConfig()
	report, err := redisstock.Open(t.Context(), s.client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Trust(report.Marks)
	cell, other := f.on(s, 0, stock.Settings{}), f.on(s, 1, stock.Settings{})
	replicate(s, cell, other)
	all, err := lua.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range all {
		f.run(3, "SCRIPT", "LOAD", script.Source)
	}

	resume := pause(t, f.Nodes[3].PID())
	f.run(0, "CLIENT", "KILL", "TYPE", "replica")
	s.reserve(cell, 2, 1)
	s.reserve(cell, 3, 1)
	seen := s.state(cell).Position
	if err := f.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	resume()
	f.run(3, "CLUSTER", "FAILOVER", "TAKEOVER")
	for node := 1; node < len(f.nodes); node++ {
		f.until("the replica has taken over", func() bool { return f.sees(node, 3) })
	}

	f.until("the new primary is asked", func() bool {
		v := s.do(stock.OpReserve, take(stock.OpReserve, cell, 4, 1))
		if v.Err == nil {
			t.Fatalf("a primary without the last effects has answered %v", v.Outcomes)
		}
		return errors.Is(v.Err, stock.ErrShut)
	})
	cfg.Evidence, cfg.Seen = known{cell: seen}, s.Marks()
	report, err = redisstock.Open(t.Context(), s.client, cfg)
	if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), fmt.Sprintf("in part: partition %d: it has lost effects of 1 cells, most of these: %v", partition(cell), cell)) {
		t.Fatalf("error is %v, want what was lost", err)
	}
	if report.Marks[partition(cell)].Nonce != 0 || report.Marks[partition(other)].Nonce == 0 {
		t.Errorf("marks of what sells: %v and %v", report.Marks[partition(cell)], report.Marks[partition(other)])
	}
	for name, shop := range map[string]*shop{"who has seen them": s, "a newcomer": adopter(t, s, cfg.Nonces)} {
		if err := shop.do(stock.OpReserve, take(stock.OpReserve, cell, 5, 1)).Err; !errors.Is(err, stock.ErrShut) {
			t.Errorf("%s: on data that were set back: %v, want shut", name, err)
		}
	}
	s.reserve(other, 2, 1)
}

// TestDemotedPrimaryIsVettedAgain replaces a primary and makes it primary again. It keeps its scripts in between,
// because nobody restarts it. It refuses all calls until it is vetted.
func TestDemotedPrimaryIsVettedAgain(t *testing.T) {
	t.Parallel()
	f := newFailing(t)
	s, cfg := newShop(t, connect(t, f.Addrs...), redisstock.Config{ReplicaTimeout: 20 * time.Second}), openConfig()
	opened := func() bool {
		_, _ = s.Shut(t.Context()) // as an edge does, whose client so learns who has what
		report, err := redisstock.Open(t.Context(), s.client, cfg)
		if err == nil {
			s.Trust(report.Marks)
		}
		return err == nil
	}
	f.until("redis is open", opened)
	cell := f.on(s, 0, stock.Settings{})
	replicate(s, cell)
	moved := func(to int) {
		t.Helper()
		f.run(to, "CLUSTER", "FAILOVER", "TAKEOVER")
		for node := range f.nodes {
			f.until("the other one is primary", func() bool { return f.sees(node, to) })
		}
		f.until("who was primary is a replica", func() bool {
			return redisstock.About(f.run(3-to, "INFO", "replication")).Role() == "slave"
		})
	}
	// A server that does not answer in time keeps its scripts until the next call.
	disarmed := func(node int) func() bool {
		return func() bool {
			if err := s.DisarmReplicas(t.Context(), s.client.Nodes()); err != nil {
				t.Error(err)
			}
			return !f.loaded(node)
		}
	}

	moved(3)
	if !f.loaded(0) {
		t.Fatal("a demoted primary has lost its scripts by itself: the test tests nothing")
	}
	f.until("a demoted primary loses its scripts", disarmed(0))
	f.until("the new primary is open", opened)
	f.until("the replica stays without scripts", disarmed(0))
	f.until("the new primary sells", func() bool {
		v := s.do(stock.OpReserve, take(stock.OpReserve, cell, 2, 1))
		return v.Err == nil
	})
	f.until("its replica has all", func() bool { return s.replicateAll(4, cell)[0].Replicated })
	moved(0)
	f.until("the primary of before is asked", func() bool {
		v := s.do(stock.OpReserve, take(stock.OpReserve, cell, 3, 1))
		if v.Err == nil {
			t.Fatalf("it has answered %v before it was vetted", v.Outcomes)
		}
		return errors.Is(v.Err, stock.ErrShut)
	})
	f.until("it is open again", opened)
	f.until("who was primary meanwhile loses its scripts", disarmed(3))
	if !f.loaded(0) {
		t.Error("the primary has lost its scripts")
	}
	s.reserve(cell, 3, 1)
}

// adopter is a shop of another run, which trusts what others have vetted.
func adopter(t *testing.T, last *shop, nonces stock.Nonces) *shop {
	t.Helper()
	store, err := redisstock.New(last.client, redisstock.Config{Partitions: stock.PartitionsDefault, CallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := store.Adopt(ctx, nonces); err != nil {
		t.Fatal(err)
	}
	return &shop{TB: t, client: last.client, Store: store}
}
