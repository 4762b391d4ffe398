package apptest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/bench/stack"
)

// The limits of TestLimitsHoldOverAllEdges, in requests and requests per second.
const (
	limitRate  = 30
	limitBurst = 60
)

// TestLimitsHoldOverAllEdges sends requests of users and of addresses to three edges. As many pass as one edge would let
// pass, within a fifth, however they are spread. Without Redis each edge goes on alone.
func TestLimitsHoldOverAllEdges(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "SLUICE_TRUSTED_PROXIES=127.0.0.0/8", "SLUICE_LOG_LEVEL=info",
		fmt.Sprintf("SLUICE_RATE_PER_USER=%d", limitRate), fmt.Sprintf("SLUICE_BURST_PER_USER=%d", limitBurst),
		fmt.Sprintf("SLUICE_RATE_PER_ADDRESS=%d", limitRate), fmt.Sprintf("SLUICE_BURST_PER_ADDRESS=%d", limitBurst))
	s.LoadCSV("sku_id,quantity,limit", "1001,100,")
	edges := []*stack.Process{s.StartEdge(), s.StartEdge(), s.StartEdge()}
	share := func(n int) bool {
		for _, e := range edges {
			if !strings.Contains(ask(t, e, "/metrics"), fmt.Sprintf("sluice_edge_limit_edges %d\n", n)) {
				return false
			}
		}
		return true
	}
	within(t, time.Minute, func() bool { return share(len(edges)) })

	t.Run("requests", func(t *testing.T) {
		for name, next := range map[string]func(i int, since time.Duration) int{
			"even":   func(i int, _ time.Duration) int { return i },
			"skewed": func(int, time.Duration) int { return min(rand.IntN(4), 2) - 2 + len(edges) }, // half to the last
			"moving": func(_ int, since time.Duration) int { return int(since / (2 * time.Second)) },
		} {
			for _, of := range []string{"user", "address"} {
				t.Run(name+" of one "+of, func(t *testing.T) {
					t.Parallel()
					user, address := rand.Int64N(1<<40), fmt.Sprintf("2001:db8:%x::", 1+rand.IntN(0xffff))
					holdLimit(t, edges, next, func(i int) *http.Request {
						if of == "user" {
							return request(t, s.Token(1+user, "shopper"), fmt.Sprintf("192.0.%d.%d", i/200, i%200))
						}
						return request(t, "", fmt.Sprintf("%s%x", address, 1+i)) // of one /64
					})
				})
			}
		}
	})

	const alone, together = "cannot count requests together", "works again: count requests together"
	say := func(line string) bool {
		return !slices.ContainsFunc(edges, func(e *stack.Process) bool { return !strings.Contains(e.Log(), line) })
	}
	must(t, s.Redis.Kill())
	within(t, time.Minute, func() bool { return share(1) && say(alone) })
	must(t, s.Redis.Restart(t.Context()))
	within(t, time.Minute, func() bool { return share(len(edges)) && say(together) })
	for _, e := range edges {
		for _, line := range []string{alone, together} {
			if n := strings.Count(e.Log(), line); n != 1 {
				t.Errorf("%d lines of %q", n, line)
			}
		}
		if metric := "sluice_edge_limit_unreadable_messages_total 0\n"; !strings.Contains(ask(t, e, "/metrics"), metric) {
			t.Errorf("want %s", metric)
		}
	}
}

// request asks something that needs no stock.
func request(t *testing.T, token, address string) *http.Request {
	t.Helper()
	r := one(http.NewRequestWithContext(t.Context(), http.MethodGet, "", nil))(t)
	r.Header.Set("X-Forwarded-For", address)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// holdLimit sends requests at 2.5 times the limit, each to the next edge, and checks how many pass.
func holdLimit(t *testing.T, edges []*stack.Process, next func(i int, since time.Duration) int, of func(i int) *http.Request) {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(time.Second * 2 / 5 / limitRate)
	defer tick.Stop()
	sent, passed := 0, 0
	for ; time.Since(begin) < 6*time.Second; sent++ {
		<-tick.C
		r := of(sent)
		r.URL.Scheme, r.URL.Host = "http", edges[next(sent, time.Since(begin))%len(edges)].Addr()
		r.URL.Path = "/v1/stock/1001"
		if r.Header.Get("Authorization") != "" {
			r.URL.Path = "/v1/reservations/0000" + strings.Repeat("0", 28)
		}
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		_, err = io.Copy(io.Discard, answer.Body)
		must(t, err)
		must(t, answer.Body.Close())
		if answer.StatusCode != http.StatusTooManyRequests {
			passed++
		}
	}
	limit := limitBurst + limitRate*time.Since(begin).Seconds()
	t.Logf("%d of %d requests passed, the limit allows %.0f", passed, sent, limit)
	if float64(passed) > 1.2*limit || float64(passed) < 0.8*min(limit, float64(sent)) {
		t.Errorf("%d of %d requests passed, the limit allows %.0f", passed, sent, limit)
	}
}
