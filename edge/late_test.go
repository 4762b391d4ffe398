package edge_test

import (
	"net/http"
	"testing"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// TestLateAcknowledgementOfALostEffect takes an effect from Redis while its event is on the way to Kafka, and lets
// another edge open Redis without it. Then Kafka takes the event. No answer may say that the effect is safe.
func TestLateAcknowledgementOfALostEffect(t *testing.T) {
	t.Parallel()
	broker, err := local.StartBroker(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	if err := outbox.CreateTopic(t.Context(), broker.Addrs, "sluice.events.v1", 4, 1); err != nil {
		t.Fatal(err)
	}
	redis := servicetest.Redis(t)
	s := newStack(t, redis.Addr)
	s.cfg.Kafka.Brokers = broker.Addrs
	s.cfg.Stock.Ack = stock.AckLog.String()
	s.start()
	s.load(1, 100, "")
	other := &stack{t: t, cfg: s.cfg, keys: s.keys, http: s.http}
	other.cfg.DataDir = t.TempDir()
	other.start()
	held := func() int64 {
		states, _, err := other.store().Cells(t.Context(), cellsOf([]int64{1}))
		if err != nil {
			return -1
		}
		return states[0].Held
	}

	at := size(t, appendOnly(t, redis))
	release := make(chan struct{})
	broker.HoldNextWrite(release)
	reserve := func(s *stack, key string) answer {
		got, err := s.trySend("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", key)
		if err != nil {
			t.Error(err)
		}
		return got
	}
	lost := make(chan answer, 1)
	go func() { lost <- reserve(s, "lost") }()
	s.until(sellsAgainWithin, "Redis has the effect", func() bool { return held() == 1 })
	killCutBack(t, redis, at)
	s.until(sellsAgainWithin, "the other edge has opened Redis without it", func() bool {
		return reserve(other, "other").status == http.StatusCreated
	})
	select {
	case got := <-lost:
		t.Fatalf("answered before Kafka has it: %s", got.body)
	default:
	}
	close(release)
	if got := <-lost; got.status != http.StatusGatewayTimeout || got.code() != "outcome_unknown" {
		t.Errorf("the lost effect: %d %s, and %d units are held", got.status, got.body, held())
	}
	s.until(sellsAgainWithin, "the same key settles it", func() bool { return reserve(s, "lost").status == http.StatusCreated })
	if got := held(); got != 2 {
		t.Errorf("%d units are held, want 2", got)
	}
}
