package edge_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock"
)

// promotionWithin bounds the time without sales: Sentinels need downAfter and a vote, the edge a look at them and
// a vetting. Tests share a machine; alone it takes about 5 s.
const (
	downAfter       = 2 * time.Second
	promotionWithin = 30 * time.Second
)

// newWatchedStack is a stack whose Redis is a primary with one replica, and three Sentinels.
func newWatchedStack(t *testing.T) (*stack, *local.Redis) {
	t.Helper()
	s, primary, _ := newWatchedStackOf(t)
	return s, primary
}

func newWatchedStackOf(t *testing.T) (*stack, *local.Redis, *local.Sentinels) {
	t.Helper()
	primary := servicetest.Redis(t)
	servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	sentinels := servicetest.Sentinels(t, primary, 1, downAfter)
	s := newStack(t, primary.Addr)
	s.cfg.Redis = redis.Config{SentinelAddrs: sentinels.Addrs, SentinelMaster: sentinels.Master, CallTimeout: 5 * time.Second}
	s.cfg.Replicas.Timeout = 5 * time.Second
	return s, primary, sentinels
}

// TestPromotionBySentinels kills the primary in the middle of sales that a replica has to have. The edge must find
// the new primary, vet it, and go on selling by itself; what was acknowledged is there, each of it once.
func TestPromotionBySentinels(t *testing.T) {
	t.Parallel()
	s, primary := newWatchedStack(t)
	s.start()
	const units = 1_000_000
	s.load(1, units, `,"ack":"replica"`)
	s.load(2, units, "")
	early := s.send("POST", "/v1/reservations", s.token(1, auth.RoleShopper), `{"sku_id":"2","quantity":1}`, "Idempotency-Key", "early")
	if early.status != http.StatusCreated {
		t.Fatal(early.body)
	}

	// Each shopper repeats a request until it is acknowledged, and then makes the next.
	var shoppers sync.WaitGroup
	var acknowledged atomic.Int64
	warm, stop := make(chan struct{}), make(chan struct{})
	reservations := make([][]string, 8) // by shopper, in order of their keys
	for i := range reservations {
		token := s.token(int64(i+1), auth.RoleShopper)
		shoppers.Go(func() {
			for n := 0; ; {
				select {
				case <-stop:
					return
				default:
				}
				got, err := s.trySend("POST", "/v1/reservations", token, `{"sku_id":"1","quantity":1}`, "Idempotency-Key", fmt.Sprint(n))
				switch {
				case err != nil:
					t.Error(err)
					return
				case got.status == http.StatusCreated:
					reservations[i] = append(reservations[i], got.text("reservation_id"))
					n++
					if acknowledged.Add(1) == 500 {
						close(warm)
					}
				case got.status != http.StatusServiceUnavailable && got.status != http.StatusGatewayTimeout:
					t.Errorf("%d %s", got.status, got.body)
					return
				}
			}
		})
	}
	<-warm
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	s.until(promotionWithin, "the promoted replica sells", func() bool {
		got := s.send("POST", "/v1/reservations", s.token(2, auth.RoleShopper), `{"sku_id":"2","quantity":1}`, "Idempotency-Key", "late")
		return got.status == http.StatusCreated
	})
	t.Logf("sold again after %v", time.Since(killed).Round(time.Millisecond))
	s.waitReady()
	if again := s.send("POST", "/v1/reservations", s.token(1, auth.RoleShopper), `{"sku_id":"2","quantity":1}`, "Idempotency-Key", "early"); again.body != early.body {
		t.Errorf("what was sold before: %s, then %s", early.body, again.body)
	}

	// The old primary comes back, becomes a replica, and sales go on that need one.
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := acknowledged.Load()
	s.until(time.Minute, "sales go on that a replica has to have", func() bool { return acknowledged.Load() > before+100 })
	close(stop)
	shoppers.Wait()
	seen, open := map[string]bool{}, int64(0)
	for i, ids := range reservations {
		token := s.token(int64(i+1), auth.RoleShopper)
		for n, id := range ids {
			got := s.send("GET", "/v1/reservations/"+id, token, "")
			if got.text("state") != "held" || seen[id] {
				t.Errorf("reservation %d of shopper %d: %s; seen before: %v", n, i+1, got.body, seen[id])
			}
			seen[id] = true
			open++
		}
		// The last request of a shopper may have been answered 503 or 504, and is settled by its key.
		last := s.send("POST", "/v1/reservations", token, `{"sku_id":"1","quantity":1}`, "Idempotency-Key", fmt.Sprint(len(ids)))
		if last.status != http.StatusCreated || seen[last.text("reservation_id")] {
			t.Errorf("shopper %d: %d %s", i+1, last.status, last.body)
		}
		open++
	}
	states, _, err := s.store().Cells(t.Context(), []stock.Cell{{SKU: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if held := states[0].Held; held != open {
		t.Errorf("%d units are held, and shoppers know of %d", held, open)
	}
}

// TestPromotionWhilePrimaryHangs stops the primary without closing its connections, and lets it go on once another
// one sells. It must not sell beside that one.
func TestPromotionWhilePrimaryHangs(t *testing.T) {
	t.Parallel()
	s, primary := newWatchedStack(t)
	s.cfg.Redis.CallTimeout = time.Second
	s.start()
	s.load(1, 2, "")
	s.load(2, 1, `,"ack":"replica"`)
	buy := func(sku string, user int64) answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"`+sku+`","quantity":1}`, "Idempotency-Key", "k")
	}
	for _, sku := range []string{"1", "2"} { // once a replica has the second, it has the first
		if got := buy(sku, 1); got.status != http.StatusCreated {
			t.Fatal(got.body)
		}
	}
	if err := syscall.Kill(primary.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := sync.OnceValue(func() error { return syscall.Kill(primary.PID(), syscall.SIGCONT) })
	defer func() { _ = goOn() }() // checked below, where it counts
	hung := time.Now()
	s.until(promotionWithin, "the promoted replica sells", func() bool { return buy("1", 2).status == http.StatusCreated })
	t.Logf("sold again after %v", time.Since(hung).Round(time.Millisecond))
	if err := goOn(); err != nil {
		t.Fatal(err)
	}
	if got := buy("1", 3); got.code() != "sold_out" {
		t.Errorf("beside a primary that has a unit left: %d %s", got.status, got.body)
	}
}

// TestDemotedPrimaryLosesItsScripts lets Sentinels replace a primary that nobody restarts, and promote it again without
// the sales in between. It has no scripts by then, so it is vetted before it sells.
func TestDemotedPrimaryLosesItsScripts(t *testing.T) {
	t.Parallel()
	s, primary := newWatchedStack(t)
	s.start()
	s.load(1, 1, "")
	connect := func(addr string) rueidis.Client {
		t.Helper()
		client, err := s.cfg.Redis.Server(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	first, sentinel := connect(primary.Addr), connect(s.cfg.Redis.SentinelAddrs[0])
	ask := func(client rueidis.Client, words ...string) rueidis.RedisResult {
		return client.Do(t.Context(), client.B().Arbitrary(words...).Build())
	}
	says := func(line string) func() bool {
		return func() bool {
			info, err := ask(first, "INFO", "replication").ToString()
			return err == nil && strings.Contains(info, line)
		}
	}
	armed := func() bool {
		info, err := ask(first, "INFO", "memory").ToString()
		return err != nil || !strings.Contains(info, "number_of_cached_scripts:0\r")
	}
	promoteOther := func() {
		t.Helper()
		s.until(promotionWithin, "the Sentinels promote the other one", func() bool {
			return ask(sentinel, "SENTINEL", "FAILOVER", s.cfg.Redis.SentinelMaster).Error() == nil
		})
	}
	buy := func(user int64) answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "k")
	}
	if !armed() {
		t.Fatal("an open primary has no scripts")
	}

	promoteOther()
	s.until(promotionWithin, "the primary is a replica", says("role:slave"))
	s.until(promotionWithin, "it loses its scripts", func() bool { return !armed() })
	named, err := ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.cfg.Redis.SentinelMaster).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	second := connect(net.JoinHostPort(named[0], named[1]))
	s.waitReady()
	s.until(promotionWithin, "it follows the new primary", says("master_link_status:up"))

	// Nothing reaches it any more, and the unit is sold.
	if err := errors.Join(ask(second, "ACL", "SETUSER", "default", "-psync", "-sync").Error(), ask(second, "CLIENT", "KILL", "TYPE", "replica").Error()); err != nil {
		t.Fatal(err)
	}
	s.until(promotionWithin, "the unit is sold", func() bool { return buy(1).status == http.StatusCreated })
	if armed() {
		t.Fatal("a replica has scripts")
	}
	promoteOther()
	s.until(promotionWithin, "it is primary again", says("role:master"))
	s.until(promotionWithin, "it is vetted", armed)
	s.until(promotionWithin, "it answers", func() bool {
		got := buy(2)
		if got.status == http.StatusCreated {
			t.Fatal("it has sold the unit a second time")
		}
		return got.code() == "sold_out"
	})
}

// TestPrimaryOfAMinorityStaysShut restarts a primary that only one of three Sentinels can name. The others may have promoted
// another one, so the edge sells once one of them agrees.
func TestPrimaryOfAMinorityStaysShut(t *testing.T) {
	t.Parallel()
	s, primary, sentinels := newWatchedStackOf(t)
	s.start()
	s.load(1, 10, "")
	resume := stopped(t, sentinels.Nodes[1].PID())
	stopped(t, sentinels.Nodes[2].PID())
	if err := errors.Join(primary.Kill(), primary.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("1 of 3 Sentinels name " + regexp.QuoteMeta(primary.Addr))
	s.until(promotionWithin, "the edge says what is missing", func() bool { return len(s.logs.find(said)) > 0 })
	if got := s.buy(1, 1); got.status != http.StatusServiceUnavailable {
		t.Errorf("with one Sentinel: %d %s", got.status, got.body)
	}
	resume()
	s.until(promotionWithin, "it sells", func() bool { return s.buy(1, 2).status == http.StatusCreated })
}
