package edge_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// Bounds of an outage of Redis.
const (
	hangMax       = time.Second      // a call, where the server hangs
	refusedWithin = hangMax / 2      // half of the refusals, once the edge knows of it
	backWithin    = 60 * time.Second // until goodput is back
	backShare     = 0.95             // of the goodput before

	steady = 20 * time.Millisecond // shoppers are not to wait for the processor, whatever else runs on the machine
)

// outage is a trouble of a Redis server.
type outage struct {
	name    string
	options local.RedisOptions
	linked  bool // the edge reaches the server over a link
	strike  func(*struck) (heal func())
	status  int      // of /readyz meanwhile
	ready   string   // what it says
	may     []string // codes that requests may meet beside unavailable
}

// struck is an edge whose Redis gets into trouble.
type struck struct {
	*stack
	server *local.Redis
	link   *servicetest.Link
	held   string // the id of a reservation
}

// run has the server run a command.
func (s *struck) run(words ...string) {
	s.t.Helper()
	client := node(s.t, s.server.Addr)
	if err := client.Do(s.t.Context(), client.B().Arbitrary(words...).Build()).Error(); err != nil {
		s.t.Fatalf("%v: %v", words, err)
	}
}

// confirms checks that what is held can still be sold.
func (s *struck) confirms() {
	s.t.Helper()
	got := s.send("POST", "/v1/reservations/"+s.held+"/confirm", s.token(900, auth.RoleService), "")
	if got.status != http.StatusOK {
		s.t.Errorf("confirm: %d %s", got.status, got.body)
	}
}

var outages = []outage{
	{
		name: "down", status: http.StatusServiceUnavailable, ready: `"status":"fail"`, may: []string{"outcome_unknown"},
		strike: func(s *struck) func() {
			if err := s.server.Kill(); err != nil {
				s.t.Fatal(err)
			}
			return func() {
				if err := s.server.Restart(s.t.Context()); err != nil {
					s.t.Fatal(err)
				}
			}
		},
	},
	{
		name: "paused", status: http.StatusServiceUnavailable, ready: `"status":"fail"`, may: []string{"outcome_unknown"},
		strike: func(s *struck) func() { return stopped(s.t, s.server.PID()) },
	},
	{
		name: "read-only", status: http.StatusServiceUnavailable, ready: "is a slave, want a primary",
		strike: func(s *struck) func() {
			s.run("REPLICAOF", "127.0.0.1", "1")
			return func() { s.run("REPLICAOF", "NO", "ONE") }
		},
	},
	{
		name: "loading", status: http.StatusServiceUnavailable, ready: `"status":"fail"`, may: []string{"outcome_unknown"},
		options: local.RedisOptions{Extra: []string{"key-load-delay 100"}}, // microseconds for each command of its file
		strike: func(s *struck) func() {
			const keys = 20_000
			client := node(s.t, s.server.Addr)
			for first := 0; first < keys; first += 1000 {
				commands := client.B().Arbitrary("EVAL", `for i = ARGV[1], ARGV[1] + 999 do redis.call("SET", "ballast:" .. i, "") end return 0`, "0", fmt.Sprint(first))
				if err := client.Do(s.t.Context(), commands.Build()).Error(); err != nil {
					s.t.Fatal(err)
				}
			}
			restarted := make(chan error, 1)
			go func() { restarted <- s.server.Restart(s.t.Context()) }()
			return func() {
				if err := <-restarted; err != nil {
					s.t.Fatal(err)
				}
			}
		},
	},
	{
		name: "out of memory", status: http.StatusOK, ready: "of maxmemory",
		strike: func(s *struck) func() {
			s.run("CONFIG", "SET", "maxmemory", "1mb")
			s.confirms()
			return func() { s.run("CONFIG", "SET", "maxmemory", "0") }
		},
	},
	{
		name: "cannot write its files", status: http.StatusServiceUnavailable, ready: "MISCONF",
		strike: func(s *struck) func() {
			inTheWay := filepath.Join(s.server.Dir, "dump.rdb")
			if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700); err != nil {
				s.t.Fatal(err)
			}
			s.run("CONFIG", "SET", "save", "3600 1")
			s.run("BGSAVE")
			return func() {
				if err := os.RemoveAll(inTheWay); err != nil {
					s.t.Fatal(err)
				}
				s.run("BGSAVE")
			}
		},
	},
	{
		name: "answers more than it was asked", status: http.StatusServiceUnavailable, ready: "does not keep to its protocol", may: []string{"outcome_unknown"}, linked: true,
		strike: func(s *struck) func() {
			s.link.Forge([]byte("*1\r\n:1\r\n" + strings.Repeat("+OK\r\n", 1000)))
			return func() { s.link.Forge(nil) }
		},
	},
	{
		name: "answers without end", status: http.StatusServiceUnavailable, ready: "does not keep to its protocol", may: []string{"outcome_unknown"}, linked: true,
		strike: func(s *struck) func() {
			s.link.Forge([]byte(strings.Repeat("*1\r\n", 1000)))
			return func() { s.link.Forge(nil) }
		},
	},
}

// TestOutagesOfRedis brings Redis into each kind of trouble under sales. Requests are refused at once and for certain,
// with a time after which to repeat them. /readyz says what is wrong. Afterwards sales go on by themselves, as fast as
// before, and each request that was acknowledged has had one effect.
func TestOutagesOfRedis(t *testing.T) {
	t.Parallel()
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			server := servicetest.RedisWith(t, o.options)
			s := &struck{server: server}
			addr := server.Addr
			if o.linked {
				s.link = servicetest.NewLink(t, addr)
				addr = s.link.Addr
			}
			s.stack = newStack(t, addr)
			if len(o.may) > 0 {
				s.cfg.Redis.CallTimeout = hangMax
			}
			s.start()
			const sku, other = 1, 2
			s.load(sku, 1_000_000, "")
			s.load(other, 100, "")
			s.held = s.buy(other, 900).text("reservation_id")
			b := s.buySteadily(steady, sku)
			b.may = append(b.may, o.may...)
			before := b.goodput(2 * time.Second)

			heal := o.strike(s)
			status, body := 0, ""
			s.t.Cleanup(func() { s.t.Logf("/readyz said %d %s", status, body) })
			s.until(20*time.Second, "/readyz says "+o.ready, func() bool {
				status, body = s.ready()
				return status == o.status && strings.Contains(body, o.ready)
			})
			s.refusesAtOnce(other)
			heal()
			b.comesBack(before)
			b.end(sku)
			s.waitReady()
			s.confirms() // for the first time, or again
		})
	}
}

// refusesAtOnce checks that requests for a SKU get a clear answer without a wait.
func (s *stack) refusesAtOnce(sku int64) {
	s.t.Helper()
	s.until(20*time.Second, "the edge knows of the trouble", func() bool { return s.buy(sku, 999).code() == "unavailable" })
	var took []time.Duration
	for user := range int64(9) {
		asked := time.Now()
		got := s.buy(sku, 1000+user)
		took = append(took, time.Since(asked))
		if got.status != http.StatusServiceUnavailable || got.code() != "unavailable" || got.header.Get("Retry-After") == "" || got.json["retryable"] != true {
			s.t.Errorf("in trouble: %d %v %s", got.status, got.header, got.body)
		}
	}
	slices.Sort(took)
	if took[len(took)/2] > refusedWithin {
		s.t.Errorf("refusals took %v", took)
	}
}

// goodput is how many requests a second are acknowledged.
func (b *buyers) goodput(window time.Duration) float64 {
	from := b.acknowledged.Load()
	time.Sleep(window)
	return float64(b.acknowledged.Load()-from) / window.Seconds()
}

// comesBack waits until goodput is back.
func (b *buyers) comesBack(before float64) {
	b.t.Helper()
	healed, now := time.Now(), 0.0
	for now < backShare*before {
		if now = b.goodput(500 * time.Millisecond); time.Since(healed) > backWithin {
			b.t.Fatalf("after %v %.0f/s are sold, %.0f/s before; refused: %v", backWithin, now, before, b.refusals)
		}
	}
	b.t.Logf("%.0f/s were sold before, and %.0f/s again after %v", before, now, time.Since(healed).Round(100*time.Millisecond))
}

// overCluster is an edge over a cluster that has a SKU on each primary.
func overCluster(t *testing.T, cluster *local.RedisCluster) (s *stack, skus []int64) {
	t.Helper()
	s = newStack(t, cluster.Addrs...)
	s.cfg.Redis.CallTimeout = hangMax
	s.start()
	skus = s.onEachPrimary(cluster)
	for _, sku := range skus {
		s.load(sku, 1_000_000, "")
	}
	return s, skus
}

// TestOutageOfANode hangs one primary of a cluster under sales. Requests for its SKUs are refused, and it sells again
// by itself afterwards. The SKUs of the other nodes sell on as before.
func TestOutageOfANode(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	s, skus := overCluster(t, cluster)
	b := s.buySteadily(steady, skus...)
	b.may = append(b.may, "outcome_unknown")
	all := b.goodput(time.Second)
	before := b.speed(2*time.Second, skus[1:]...)

	resume := stopped(t, cluster.Nodes[0].PID())
	struck := b.speed(2*time.Second, skus[1:]...)
	s.until(20*time.Second, "the breaker of the node is open", func() bool { return s.breakerOpen(cluster.Addrs[0]) })
	during := b.asFastAs(before, skus[1:]...)
	resume()
	b.comesBack(all)
	b.end(skus...)
	s.waitReady()
	t.Logf("the others: before %v, from the start of the outage %v, later %v", before, struck, during)
}

// TestOutageOfANodeThatIsGivenUp hangs one primary of a cluster for so long that the others give it up. They sell on if the cluster
// need not be whole for that.
func TestOutageOfANodeThatIsGivenUp(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	s, skus := overCluster(t, cluster)
	for _, addr := range cluster.Addrs {
		c := node(t, addr)
		for name, value := range map[string]string{"cluster-node-timeout": "1000", "cluster-require-full-coverage": "no"} {
			if err := c.Do(t.Context(), c.B().ConfigSet().ParameterValue().ParameterValue(name, value).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := s.buySteadily(steady, skus...)
	b.may = append(b.may, "outcome_unknown")
	all := b.goodput(time.Second)
	before := b.speed(2*time.Second, skus[1:]...)
	resume := stopped(t, cluster.Nodes[0].PID())
	other := node(t, cluster.Addrs[1])
	s.until(20*time.Second, "the others give the node up", func() bool {
		info, err := other.Do(t.Context(), other.B().ClusterInfo().Build()).ToString()
		return err == nil && !strings.Contains(info, "cluster_slots_fail:0\r")
	})
	during := b.asFastAs(before, skus[1:]...)
	resume()
	b.comesBack(all)
	b.end(skus...)
	s.waitReady()
	t.Logf("the others: before %v, after the node was given up %v", before, during)
}

// TestOutageOfASlot moves a slot of a cluster under sales, a key at a time. Requests for its SKUs may have to be
// repeated. The edge stays ready.
func TestOutageOfASlot(t *testing.T) {
	t.Parallel()
	cluster := servicetest.RedisCluster(t)
	s, skus := overCluster(t, cluster)
	client := s.redis()
	m := move{s.t, client, cluster, int(slotOf(client, skus[0]))}
	b := s.buySteadily(steady, skus...)
	before := b.goodput(time.Second)
	m.begin(0, 1)
	for m.key(0, 1) {
		if status, body := s.ready(); status != http.StatusOK {
			t.Errorf("while the slot moves: /readyz answers %d: %s", status, body)
		}
		time.Sleep(100 * time.Millisecond) // for requests to meet each state of it
	}
	m.end(1)
	b.comesBack(before)
	b.end(skus...)
	s.waitReady()
}

// speed is how fast requests are acknowledged.
type speed struct {
	rate float64 // a second
	p99  time.Duration
}

func (s speed) String() string {
	return fmt.Sprintf("%.0f/s with p99 %v", s.rate, s.p99.Round(10*time.Microsecond))
}

// speed measures the requests for some SKUs.
func (b *buyers) speed(window time.Duration, skus ...int64) speed {
	b.mu.Lock()
	clear(b.took)
	b.mu.Unlock()
	time.Sleep(window)
	b.mu.Lock()
	defer b.mu.Unlock()
	var took []time.Duration
	for _, sku := range skus {
		took = append(took, b.took[sku]...)
	}
	if len(took) == 0 {
		return speed{}
	}
	slices.Sort(took)
	return speed{float64(len(took)) / window.Seconds(), took[len(took)*99/100]}
}

// asFastAs waits until the SKUs of other nodes sell as fast as before, whatever else the machine does for a while.
func (b *buyers) asFastAs(before speed, others ...int64) (during speed) {
	b.t.Helper()
	b.until(backWithin, "the other nodes are as fast as before", func() bool {
		during = b.speed(2*time.Second, others...)
		return during.rate >= 0.9*before.rate && during.p99 <= before.p99*11/10+steady
	})
	return during
}

// move is the way of a slot from one node of a cluster to another.
type move struct {
	t       *testing.T
	client  rueidis.Client
	cluster *local.RedisCluster
	slot    int
}

func (m move) on(node int, words ...string) rueidis.RedisResult {
	m.t.Helper()
	c := m.client.Nodes()[m.cluster.Addrs[node]]
	answer := c.Do(m.t.Context(), c.B().Arbitrary(words...).Build())
	if err := answer.Error(); err != nil {
		m.t.Fatalf("%v: %v", words, err)
	}
	return answer
}

func (m move) id(node int) string {
	m.t.Helper()
	id, err := m.on(node, "CLUSTER", "MYID").ToString()
	if err != nil {
		m.t.Fatal(err)
	}
	return id
}

func (m move) begin(from, to int) {
	m.t.Helper()
	m.on(to, "CLUSTER", "SETSLOT", strconv.Itoa(m.slot), "IMPORTING", m.id(from))
	m.on(from, "CLUSTER", "SETSLOT", strconv.Itoa(m.slot), "MIGRATING", m.id(to))
}

// key moves a key, if there is one left.
func (m move) key(from, to int) bool {
	m.t.Helper()
	keys, err := m.on(from, "CLUSTER", "GETKEYSINSLOT", strconv.Itoa(m.slot), "1").AsStrSlice()
	if err != nil {
		m.t.Fatal(err)
	}
	if len(keys) > 0 {
		host, port, _ := strings.Cut(m.cluster.Addrs[to], ":")
		m.on(from, "MIGRATE", host, port, keys[0], "0", "5000")
	}
	return len(keys) > 0
}

func (m move) end(to int) {
	m.t.Helper()
	id := m.id(to)
	for node := range m.cluster.Nodes {
		m.on(node, "CLUSTER", "SETSLOT", strconv.Itoa(m.slot), "NODE", id)
	}
}
