package edge_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/edge"
)

// warnings passes on the messages of warnings.
type warnings struct {
	slog.Handler
	messages chan string
}

func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		select {
		case w.messages <- r.Message:
		default:
		}
	}
	return w.Handler.Handle(ctx, r)
}

// TestLevelReplicaWithoutReplica starts an edge whose level is replica on a Redis that has none. It warns, and
// refuses; once there is a replica, the same request is accepted, and nothing else was taken.
func TestLevelReplicaWithoutReplica(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	s := newStack(t, primary.Addr)
	s.cfg.Stock.Ack = "replica"
	log := warnings{slog.NewTextHandler(testLog{t}, nil), make(chan string, 16)}
	var err error
	if s.node, err = edge.Start(t.Context(), s.cfg, slog.New(log)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.shutdown)
	s.waitReady()
	giveUp := time.After(20 * time.Second)
	for warned := false; !warned; {
		select {
		case message := <-log.messages:
			warned = strings.Contains(message, "no replica keeps up with redis")
		case <-giveUp:
			t.Fatal("no warning that there is no replica")
		}
	}

	s.load(1, 10, "")
	reserve := func() answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "mine")
	}
	for range 2 {
		if got := reserve(); got.status != http.StatusServiceUnavailable || got.code() != "replica_missing" ||
			got.json["retryable"] != true || got.header.Get("Retry-After") == "" {
			t.Errorf("without a replica: %d %v %s", got.status, got.header, got.body)
		}
	}
	servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	s.until(20*time.Second, "a replica has the reservation", func() bool { return reserve().status == http.StatusCreated })
	if got := s.send("GET", "/admin/v1/skus/1", s.token(1, auth.RoleAdmin), ""); got.json["held"] != 1.0 {
		t.Errorf("after one reservation: %s", got.body)
	}
}
