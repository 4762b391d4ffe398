package apptest

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/stock"
	"sluice/core/telemetry"
)

// TestLevelLogWithoutKafka takes Kafka away from sales that wait for it. Requests for units get an unknown outcome,
// even if they are repeated. Refusals, and SKUs of the level redis, need no Kafka. Afterwards each request with an
// unknown outcome has had one effect.
func TestLevelLogWithoutKafka(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*stack.Stack) (back func()){
		"Kafka is down": func(s *stack.Stack) func() {
			must(t, s.Kafka.Kill())
			return func() { must(t, s.Kafka.Restart(t.Context())) }
		},
		"Kafka hangs": func(s *stack.Stack) func() {
			must(t, syscall.Kill(s.Kafka.PID(), syscall.SIGSTOP))
			return func() { must(t, syscall.Kill(s.Kafka.PID(), syscall.SIGCONT)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			levelLogWithoutKafka(t, away)
		})
	}
}

func levelLogWithoutKafka(t *testing.T, away func(*stack.Stack) (back func())) {
	t.Helper()
	const safe, quick, users = 1001, 1002, 12
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_LOG_TIMEOUT=300ms")
	s.LoadCSV("sku_id,quantity,ack", fmt.Sprintf("%d,%d,log", safe, users+2), fmt.Sprintf("%d,100,redis", quick))
	edge := s.StartEdge()
	s.StartPersister()
	url, token := "http://"+edge.Addr(), s.Token(1, "service")
	patient := newClient(t, url).As(token)
	hasty := one(client.New(client.Config{URL: url, Attempts: 1}))(t)
	t.Cleanup(hasty.Close)
	hasty = hasty.As(token)
	take := func(c *client.Client, sku, user int64) (client.Reservation, error) {
		return c.Reserve(t.Context(), client.Take{SKU: sku, Quantity: 1, User: user, Key: fmt.Sprintf("user-%d", user)})
	}
	unknown := func(what string, r client.Reservation, err error) {
		t.Helper()
		if !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: %+v, %v, want an unknown outcome", what, r, err)
		}
	}
	confirmed, released := one(take(patient, safe, 1))(t), one(take(patient, safe, 2))(t)

	back := away(s)
	var held []string
	for user := int64(3); user < 3+users; user++ {
		r, err := take(hasty, safe, user)
		unknown("reserve", r, err)
	}
	r, err := take(hasty, safe, 3)
	unknown("the same again", r, err)
	r, err = hasty.Confirm(t.Context(), confirmed.ID)
	unknown("confirm", r, err)
	if r := one(hasty.Reservation(t.Context(), confirmed.ID))(t); r.State != client.StateConfirmed {
		t.Errorf("what was confirmed is %s", r.State)
	}
	refused(take(hasty, safe, 99))(t, client.CodeSoldOut)
	r, err = hasty.Release(t.Context(), released.ID)
	unknown("release", r, err)
	if r := one(take(hasty, quick, 1))(t); r.State != client.StateHeld {
		t.Errorf("at the level redis: %+v", r)
	}
	must(t, telemetry.AskReady(t.Context(), edge.Addrs[1]))

	back()
	since := time.Now()
	for user := int64(3); user < 3+users; user++ {
		within(t, backWithin, func() bool {
			r, err = take(patient, safe, user)
			return err == nil
		})
		if r.State != client.StateHeld || !r.Replayed {
			t.Errorf("user %d asks again: %+v", user, r)
		}
		held = append(held, r.ID)
	}
	for what, settle := range map[client.State]func() (client.Reservation, error){
		client.StateConfirmed: func() (client.Reservation, error) { return patient.Confirm(t.Context(), confirmed.ID) },
		client.StateReleased:  func() (client.Reservation, error) { return patient.Release(t.Context(), released.ID) },
	} {
		if r := one(settle())(t); r.State != what {
			t.Errorf("%s again: %+v", what, r)
		}
	}
	s.Drained(t, backWithin)
	t.Logf("all is settled, and in MySQL, %v after Kafka is back", time.Since(since).Round(100*time.Millisecond))
	auditStores(t, s, []stock.Cell{{SKU: safe}, {SKU: quick}})
	expect(t, s, "reservations held", users, `SELECT COUNT(*) FROM reservations WHERE sku_id = ? AND state = 'held'`, safe)
	for _, id := range held {
		expect(t, s, "reservation "+id, 1, `SELECT COUNT(*) FROM reservations WHERE reservation_id = UNHEX(?) AND state = 'held'`, id)
	}
	s.Run("", "reconcile")
}
