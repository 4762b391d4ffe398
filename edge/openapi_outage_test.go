package edge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/rueidis"
)

// exerciseBackpressure fills an outbox, which no persister empties.
func (c *contract) exerciseBackpressure() {
	sku := c.fresh(`,"shopper_deducts":true,"extend_max_ms":1000`)
	held := c.held(sku)
	c.send("POST", "/v1/deductions", c.shopper(7), fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku))
	for range c.cfg.Stock.OutboxEntriesMax {
		c.send("POST", fmt.Sprintf("/admin/v1/skus/%d/adjustments", sku), c.admin, `{"delta":1,"reason":"fill the outbox"}`)
	}
	for _, path := range []string{"/v1/reservations", "/v1/deductions"} {
		c.shoot(shot{
			method: "POST", path: path, token: c.shopper(7), want: "backpressure",
			body: fmt.Sprintf(`{"sku_id":"%d","quantity":1}`, sku),
		})
	}
	c.shoot(shot{
		method: "POST", path: "/v1/baskets", token: c.shopper(7), want: "backpressure",
		body: fmt.Sprintf(`{"items":[{"sku_id":"%d","quantity":1}]}`, sku),
	})
	c.shoot(shot{method: "POST", path: held + "/extend", token: c.service, want: "backpressure", body: `{"expires_at":"2100-01-01T00:00:00Z"}`})
	c.shoot(shot{
		method: "POST", path: "/v1/returns", token: c.service, want: "backpressure",
		body: fmt.Sprintf(`{"sku_id":"%d","quantity":1,"user_id":"7","reason":"x"}`, sku),
	})
}

// byLine tells whether the answer to a request is 200, and its lines have the problems.
func byLine(s *shot) bool {
	return s.path == "/v1/reservations/confirm" || s.path == "/v1/reservations/extend"
}

// exerciseOutages makes Redis hang, and then takes it away for good.
func (c *contract) exerciseOutages() {
	all := slices.DeleteFunc(c.everyOperation(), func(s shot) bool { return s.path == "/v1/deployment" }) // which asks nobody
	c.exerciseHeldUpWrites(all)
	signal := func(s syscall.Signal) {
		c.t.Helper()
		if err := syscall.Kill(c.redis.PID(), s); err != nil {
			c.t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	var wait sync.WaitGroup
	for range 40 { // more than the queue holds
		wait.Go(func() { c.shoot(all[0]) })
	}
	wait.Wait()
	for _, s := range all {
		if s.method != http.MethodGet && s.method != http.MethodPatch && !strings.Contains(s.path, "release") {
			signal(syscall.SIGCONT)
			c.until(30*time.Second, "the edge has noticed that Redis answers", c.decides) // so that the next call is sent
			signal(syscall.SIGSTOP)
			s.want = "outcome_unknown"
			if byLine(&s) {
				s.want = "ok"
			}
			c.shoot(s)
		}
	}
	signal(syscall.SIGCONT)
	if err := c.redis.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.until(30*time.Second, "the edge has noticed", func() bool { // what was sent to it until then is unknown
		return c.send("POST", "/v1/reservations", c.shopper(7), all[0].body).code() == "unavailable"
	})
	for _, s := range all {
		s.path = strings.NewReplacer("/v1/stock/", "/v1/stock/9", "sku_ids=", "sku_ids=9").Replace(s.path) // not remembered
		s.want = "unavailable"
		switch {
		case byLine(&s):
			s.want = "ok"
		case strings.HasSuffix(s.path, "/registrations"):
			s.want = "outcome_unknown" // MySQL has the users
		}
		c.shoot(s)
	}
}

// exerciseHeldUpWrites has Redis answer who reads and hold up who writes: a change of settings reads before it writes.
func (c *contract) exerciseHeldUpWrites(all []shot) {
	client, err := c.cfg.Redis.Client()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	do := func(command rueidis.Completed) {
		c.t.Helper()
		if err := client.Do(c.t.Context(), command).Error(); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, s := range all {
		if s.method != http.MethodPatch {
			continue
		}
		c.until(30*time.Second, "the edge has noticed that Redis answers", c.decides) // so that the next call is sent
		do(client.B().ClientPause().Timeout(time.Minute.Milliseconds()).Write().Build())
		s.want = "outcome_unknown"
		c.shoot(s)
		do(client.B().ClientUnpause().Build())
	}
}

// decides reports whether a confirm is decided: it asks Redis always.
func (c *contract) decides() bool {
	got := c.send("POST", "/v1/reservations/"+strings.Repeat("0", 32)+"/confirm", c.service, "")
	return got.code() == "unknown_reservation"
}
