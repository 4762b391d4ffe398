package apptest

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/bench/load"
	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/core/telemetry"
)

// By default it is longer than the publisher keeps an entry.
var outageTime = flag.Duration("outage", 12*time.Second, "how long Kafka or MySQL is away")

// grownMax is how many bytes more a process may use at the end of an outage than when the outbox was full.
const grownMax = 64 << 20

// backWithin is how long it may take after an outage until MySQL has everything.
const backWithin = time.Minute

// shelf is a server that takes what Redis has to give.
type shelf interface {
	Kill() error
	PID() int
	Restart(ctx context.Context) error
}

// TestOutagesBehindRedis takes Kafka or MySQL away under sales. Units are reserved until the outbox is full; then the
// answer is backpressure. Held units can be confirmed and released, and expire. Afterwards all events reach MySQL
// exactly once by themselves, there is no dead letter, and units are reserved as fast as before.
func TestOutagesBehindRedis(t *testing.T) {
	t.Parallel()
	kafka := func(s *stack.Stack) shelf { return s.Kafka }
	mysql := func(s *stack.Stack) shelf { return s.MariaDB }
	for _, o := range []struct {
		name  string
		of    func(*stack.Stack) shelf
		hangs bool
		says  string // what an edge logs afterwards
	}{
		{name: "Kafka is down", of: kafka, says: "works again: publish events"},
		{name: "Kafka hangs", of: kafka, hangs: true, says: "works again: publish events"},
		{name: "MySQL is down", of: mysql},
		{name: "MySQL hangs", of: mysql, hangs: true},
	} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			d := newDrought(t)
			server := o.of(d.s)
			before := d.goodput(2 * time.Second)
			d.s.Drained(t, backWithin) // what is deleted later would make room
			if o.hangs {
				must(t, syscall.Kill(server.PID(), syscall.SIGSTOP))
			} else {
				must(t, server.Kill())
			}
			d.endure(*outageTime)
			if o.hangs {
				must(t, syscall.Kill(server.PID(), syscall.SIGCONT))
			} else {
				must(t, server.Restart(t.Context()))
			}
			d.recover(before)
			if o.says != "" {
				within(t, backWithin, func() bool { return strings.Contains(d.edge.Log(), o.says) })
			}
		})
	}
}

// drought is a sale whose events do not get on.
type drought struct {
	t         *testing.T
	s         *stack.Stack
	edge      *stack.Process
	persister *stack.Process
	service   *client.Client // for users who take units
	hasty     *client.Client // the same without repetitions
	users     int64
	held      []string
	states    map[string]string // by reservation, as it was acknowledged
}

// SKUs of a drought.
const (
	lasting  = 1001
	expiring = 1002
	budget   = 100 // entries of an outbox
)

func newDrought(t *testing.T) *drought {
	t.Helper()
	s := stack.New(t, fmt.Sprintf("SLUICE_OUTBOX_ENTRIES_MAX=%d", budget), "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_LOG_LEVEL=info")
	s.LoadCSV("sku_id,quantity,limit,hold_seconds", fmt.Sprintf("%d,100000,,3600", lasting), fmt.Sprintf("%d,10,,2", expiring))
	d := &drought{t: t, s: s, edge: s.StartEdge(), states: map[string]string{}}
	d.persister = s.StartPersister()
	url, token := "http://"+d.edge.Addr(), s.Token(1, "service")
	d.service = newClient(t, url).As(token)
	hasty, err := client.New(client.Config{URL: url, Attempts: 1})
	must(t, err)
	t.Cleanup(hasty.Close)
	d.hasty = hasty.As(token)
	return d
}

// take takes one unit for a new user.
func (d *drought) take(c *client.Client, sku int64) error {
	d.users++
	take := client.Take{SKU: sku, Quantity: 1, User: d.users, Key: fmt.Sprintf("user-%d", d.users)}
	r, err := c.Reserve(d.t.Context(), take)
	for errors.Is(err, client.ErrOutcomeUnknown) && d.t.Context().Err() == nil { // the machine stood still for a moment
		r, err = c.Reserve(d.t.Context(), take)
	}
	if err == nil {
		d.states[r.ID] = "held"
		d.held = append(d.held, r.ID)
	}
	return err
}

// settle ends the oldest reservation that is held.
func (d *drought) settle(settle func(context.Context, string) (client.Reservation, error), state string) {
	d.t.Helper()
	if len(d.held) == 0 {
		return // the outage is long
	}
	id := d.held[0]
	d.held = d.held[1:]
	if r, err := settle(d.t.Context(), id); err != nil || string(r.State) != state {
		d.t.Fatalf("%s: %+v, %v", state, r, err)
	}
	d.states[id] = state
}

// endure sells while nothing gets on.
func (d *drought) endure(long time.Duration) {
	t, since := d.t, time.Now()
	must(t, d.take(d.service, expiring))
	perish := d.held[len(d.held)-1]
	d.held = d.held[:len(d.held)-1]
	d.states[perish] = "expired"

	taken, refusal := 0, error(nil)
	for ; refusal == nil; taken++ {
		refusal = d.take(d.hasty, lasting)
	}
	p := refused(client.Reservation{}, refusal)(t, client.CodeBackpressure)
	if p.Status != 503 || p.RetryAfter == 0 || !p.Retryable || taken < budget/2 || taken > 3*budget {
		t.Errorf("after %d units of a budget of %d: %+v, again after %v", taken, budget, p, p.RetryAfter)
	}
	processes := []*stack.Process{d.edge, d.persister}
	var before []int64
	for _, p := range processes {
		before = append(before, one(p.Memory())(t))
	}
	for time.Since(since) < long {
		d.settle(d.service.Confirm, "confirmed")
		d.settle(d.service.Release, "released")
		must(t, telemetry.AskReady(t.Context(), d.edge.Addrs[1]))
		for range 50 {
			refused(client.Reservation{}, d.take(d.hasty, lasting))(t, client.CodeBackpressure)
			lifecycle.Pause(t.Context(), 20*time.Millisecond)
		}
	}
	for i, p := range processes {
		now := one(p.Memory())(t)
		t.Logf("%s used %d MiB of memory when the outbox was full, and %d MiB at the end", p.Addrs[len(p.Addrs)-1], before[i]>>20, now>>20)
		if now > before[i]+grownMax {
			t.Errorf("memory of a process grew from %d to %d bytes", before[i], now)
		}
	}
	within(t, 20*time.Second, func() bool { // its units are back, although nobody has written that down
		stock, err := d.service.Stock(t.Context(), expiring, 0)
		return err == nil && stock.Avail == 10
	})
	if r := one(d.service.Reservation(t.Context(), perish))(t); r.State != client.StateExpired {
		t.Errorf("after its time: %+v", r)
	}
}

// goodput is how many units a second a shopper takes who rests after each.
func (d *drought) goodput(window time.Duration) float64 {
	taken := 0
	for end := time.Now().Add(window); time.Now().Before(end); lifecycle.Pause(d.t.Context(), 20*time.Millisecond) {
		if d.take(d.hasty, lasting) == nil {
			taken++
		}
	}
	return float64(taken) / window.Seconds()
}

// recover waits until all is as if nothing had been.
func (d *drought) recover(before float64) {
	t, since, now := d.t, time.Now(), 0.0
	within(t, backWithin, func() bool {
		now = d.goodput(500 * time.Millisecond)
		return now >= 0.95*before
	})
	t.Logf("%.0f units a second are taken again after %v, %.0f were before", now, time.Since(since).Round(100*time.Millisecond), before)
	d.s.Drained(t, backWithin)
	t.Logf("MySQL has everything after %v", time.Since(since).Round(100*time.Millisecond))
	auditStores(t, d.s, []stock.Cell{{SKU: lasting}, {SKU: expiring}})

	rows, err := d.s.DB.QueryContext(t.Context(), `SELECT reservation_id, state FROM reservations`)
	must(t, err)
	defer func() { _ = rows.Close() }()
	found := 0
	for rows.Next() {
		var id []byte
		var state string
		must(t, rows.Scan(&id, &state))
		if want := d.states[hex.EncodeToString(id)]; state != want {
			t.Errorf("reservation %x is %s in MySQL, was acknowledged as %q", id, state, want)
		}
		found++
	}
	must(t, rows.Err())
	if found != len(d.states) {
		t.Errorf("MySQL has %d reservations of %d", found, len(d.states))
	}
}

// TestHungRedisTakesNoMemory hangs Redis for a while under more shoppers than an edge can serve. The edge's memory stays what it is.
func TestHungRedisTakesNoMemory(t *testing.T) {
	t.Parallel()
	const hung = 8 * time.Second
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0")
	s.LoadCSV("sku_id,quantity,limit", fmt.Sprintf("%d,100000000,", lasting))
	edge := s.StartEdge()
	s.StartPersister()
	tokens := make([]string, 200)
	for i := range tokens {
		tokens[i] = s.Token(int64(i+1), "shopper")
	}
	round := 0
	press := func(long time.Duration) load.Report {
		round++
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		return one(load.Run(ctx, load.Plan{
			Addr: edge.Addr(), Connections: len(tokens), Timeout: 10 * time.Second,
			Next: func(conn, n int, buf []byte) []byte {
				return load.AppendPost(buf, "/v1/reservations", tokens[conn], fmt.Sprintf("%d-%d-%d", round, conn, n), load.ReserveBody(lasting, 1))
			},
		}))(t)
	}
	if calm := press(4 * time.Second); calm.Answers[http.StatusCreated] == 0 {
		t.Fatalf("nothing is sold: %v", calm)
	}
	before := one(edge.Memory())(t)
	must(t, syscall.Kill(s.Redis.PID(), syscall.SIGSTOP))
	hang := press(hung)
	after := one(edge.Memory())(t)
	must(t, syscall.Kill(s.Redis.PID(), syscall.SIGCONT))
	t.Logf("%v while Redis hung; %d MiB before, %d MiB after it", hang, before>>20, after>>20)
	if hang.Answers[http.StatusServiceUnavailable] == 0 || after > before+grownMax {
		t.Errorf("answers %v, and memory grew from %d to %d bytes", hang.Answers, before, after)
	}
	within(t, backWithin, func() bool { return press(time.Second / 2).Answers[http.StatusCreated] > 0 })
}
