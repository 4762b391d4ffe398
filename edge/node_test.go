package edge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/dirlock"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/telemetry/telemetrytest"
	"sluice/edge"
)

func TestOnePurchase(t *testing.T) {
	t.Parallel()
	t.Run("one Redis", func(t *testing.T) {
		t.Parallel()
		onePurchase(t, newStack(t))
	})
	t.Run("a cluster", func(t *testing.T) {
		t.Parallel()
		onePurchase(t, newStack(t, servicetest.RedisCluster(t).Addrs...))
	})
}

func onePurchase(t *testing.T, s *stack) {
	t.Helper()
	s.cfg.Catalog.URL = "http://127.0.0.1:1" // its metrics are there, whether it answers or not
	s.start()
	s.load(1001, 10, `,"limit":3`)
	shopper, service := s.token(7, auth.RoleShopper), s.token(1, auth.RoleService)

	held := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1001","quantity":2}`, "Idempotency-Key", "mine")
	if held.status != 201 || held.text("state") != "held" {
		t.Fatalf("reserve: %d %s", held.status, held.body)
	}
	again := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1001","quantity":2}`, "Idempotency-Key", `"mine"`)
	if again.body != held.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replay: %v %s", again.header, again.body)
	}
	if got := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1001","quantity":2}`); got.code() != "limit_reached" {
		t.Errorf("above the limit: %s", got.body)
	}
	path := "/v1/reservations/" + held.text("reservation_id")
	if got := s.send("GET", path, shopper, ""); got.status != 200 || got.body != held.body {
		t.Errorf("show: %d %s", got.status, got.body)
	}
	if got := s.send("POST", path+"/confirm", service, ""); got.status != 200 || got.text("state") != "confirmed" {
		t.Errorf("confirm: %d %s", got.status, got.body)
	}
	if got := s.send("POST", path+"/release", shopper, ""); got.code() != "wrong_state" || got.text("state") != "confirmed" {
		t.Errorf("release what is sold: %s", got.body)
	}
	if got := s.send("GET", "/admin/v1/skus/1001", s.token(1, auth.RoleAdmin), ""); got.json["avail"] != 8.0 || got.json["sold"] != 2.0 {
		t.Errorf("the SKU: %s", got.body)
	}
	_, figures := s.ops("/metrics")
	checkMetrics(t, figures)
	if got := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"4242","quantity":1}`); got.code() != "not_loaded" {
		t.Errorf("an unknown SKU: %s", got.body)
	}
}

// checkMetrics holds /metrics to what operators are promised, after the requests of onePurchase.
func checkMetrics(t *testing.T, figures string) {
	t.Helper()
	for _, want := range []string{
		"# TYPE sluice_edge_batch_vector_requests histogram\n", `sluice_edge_batch_vector_requests_bucket{op="reserve",le="128"} 3`,
		`sluice_edge_batch_vector_requests_count{op="confirm"} 1`, `sluice_edge_batch_vector_requests_count{op="release"} 1`,
		"# TYPE sluice_edge_batch_wait_seconds histogram\n", "sluice_edge_batch_wait_seconds_count 6\n", "sluice_edge_batch_queued_requests 0\n",
		"# TYPE sluice_core_script_seconds histogram\n", `sluice_core_script_seconds_bucket{script="confirm",le="10"} 1`,
		`sluice_core_script_verdicts_total{script="reserve",verdict="ok"} 1`, `sluice_core_script_verdicts_total{script="reserve",verdict="replayed"} 1`,
		`sluice_core_script_verdicts_total{script="reserve",verdict="limit_reached"} 1`,
		`sluice_core_script_verdicts_total{script="confirm",verdict="ok"} 1`, `sluice_core_script_verdicts_total{script="release",verdict="wrong_state"} 1`,
		`sluice_core_script_failures_total{script="reserve",kind="unknown"} 0`,
		`sluice_edge_http_requests_total{route="reserve",outcome="ok"} 1`, `sluice_edge_http_requests_total{route="reserve",outcome="replayed"} 1`,
		`sluice_edge_http_requests_total{route="reserve",outcome="limit_reached"} 1`,
		`sluice_edge_http_request_duration_seconds_count{route="confirm"} 1`, `sluice_edge_batch_refused_requests_total{reason="full"} 0`,
		"sluice_edge_screen_known_refused_lookups_total ", "sluice_edge_screen_known_false_positive_ratio ", "sluice_edge_screen_soldout_answered_requests_total 0\n",
		"sluice_edge_outbox_entries ", "sluice_edge_outbox_oldest_seconds ", "sluice_core_outbox_buffer_oldest_seconds ", "sluice_core_outbox_published_entries_total ",
		"# TYPE sluice_core_outbox_publish_seconds histogram\n", "sluice_core_relay_published_entries_total ", "sluice_core_expiry_lag_seconds ",
	} {
		if !strings.Contains(figures, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	telemetrytest.Check(t, figures, "core", "edge")
}

func TestDataDirectoryHasOneEdge(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	second, err := edge.Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = second.Shutdown(t.Context())
	}
	if !errors.Is(err, dirlock.ErrTaken) || !strings.Contains(err.Error(), "--data-dir") || !strings.Contains(err.Error(), s.cfg.DataDir) {
		t.Errorf("a second edge on the directory of the first: %v", err)
	}
}

func TestAcknowledgedAtLevelLogIsInKafka(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 100, `,"ack":"log"`)
	topic := outbox.NewTopic(s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic)
	defer topic.Close()
	messages := func() (n int64) {
		t.Helper()
		ranges, err := topic.Ranges(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range ranges {
			n += r.End - r.First
		}
		return n
	}
	for range 5 {
		before := messages()
		if got := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); got.status != 201 {
			t.Fatal(got.body)
		}
		if messages() <= before {
			t.Error("acknowledged, and not in Kafka")
		}
	}
}

// TestAcknowledgesAsTheDeploymentSays has a SKU without a level of its own, while Kafka is away.
func TestAcknowledgesAsTheDeploymentSays(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 10, "")
	s.shutdown()
	s.cfg.Kafka.Brokers = []string{"127.0.0.1:1"}
	s.cfg.Stock.Ack, s.cfg.LogTimeout = "log", 100*time.Millisecond
	s.start()
	if got := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); got.status != 504 {
		t.Errorf("acknowledged without Kafka: %d %s", got.status, got.body)
	}
	s.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = s.node.Shutdown(ctx) // the event has nowhere to go
	s.node = nil
}

func TestAddressesAreLimited(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.cfg.RatePerAddress, s.cfg.BurstPerAddress = 0.001, 2
	s.start()
	for i, want := range []int{404, 404, 429} {
		if got := s.send("GET", "/v1/stock/1", "", ""); got.status != want {
			t.Errorf("request %d: %d %s", i+1, got.status, got.body)
		}
	}
}

func TestSoldOutIsScreenedAndReplaysAreNot(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 5, "")
	for user := int64(1); user <= 5; user++ {
		got := s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "k")
		if got.status != 201 {
			t.Fatalf("user %d: %s", user, got.body)
		}
	}
	for user := int64(6); user <= 50; user++ {
		got := s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "k")
		if got.code() != "sold_out" {
			t.Fatalf("user %d: %s", user, got.body)
		}
	}
	for user := int64(1); user <= 5; user++ {
		got := s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "k")
		if got.status != 201 || got.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("user %d repeats an accepted request: %d %s", user, got.status, got.body)
		}
	}
}

func TestSalesByTheAPI(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 100, "")
	admin, shopper := s.token(1, auth.RoleAdmin), s.token(7, auth.RoleShopper)
	plan := `{"name":"Eleven","items":[{"sku_id":"1","quantity":40}],"limit":1,"hold_ms":60000}`
	if got := s.send("PUT", "/admin/v1/sales/7", admin, plan); got.status != 201 || got.text("phase") != "planned" {
		t.Fatalf("create: %d %s", got.status, got.body)
	}
	if got := s.send("PUT", "/admin/v1/sales/7", admin, plan); got.status != 201 {
		t.Errorf("create again: %d %s", got.status, got.body)
	}
	if got := s.send("PUT", "/admin/v1/sales/7", admin, `{"name":"Other","items":[{"sku_id":"1","quantity":40}]}`); got.code() != "mismatch" {
		t.Errorf("another plan: %d %s", got.status, got.body)
	}
	reserve := func() answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1","quantity":1,"sale_id":"7"}`)
	}
	if got := reserve(); got.code() != "not_open" || got.header.Get("Retry-After") == "" {
		t.Errorf("before it opens: %v %s", got.header, got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/open", admin, `{}`); got.status != 200 || got.text("phase") != "scheduled" {
		t.Errorf("open: %d %s", got.status, got.body)
	}
	s.until(30*time.Second, "the sale is open", func() bool { return reserve().status == 201 })
	if got := reserve(); got.code() != "limit_reached" {
		t.Errorf("above the sale's limit: %s", got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/close", admin, `{}`); got.status != 200 || got.text("phase") != "closed" {
		t.Errorf("close: %d %s", got.status, got.body)
	}
	if got := reserve(); got.code() != "closed" {
		t.Errorf("after it closed: %s", got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/empty", admin, ""); got.status != 200 || got.json["filled"] != false {
		t.Errorf("empty: %d %s", got.status, got.body)
	}
	if got := s.send("GET", "/v1/stock/1", "", ""); got.json["avail"] != 99.0 {
		t.Errorf("after emptying: %s", got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/open", admin, `{}`); got.code() != "sale_refused" || !strings.Contains(got.body, "fill it first") {
		t.Errorf("open what was emptied: %d %s", got.status, got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/fill", admin, ""); got.status != 200 || got.json["filled"] != true {
		t.Errorf("fill: %d %s", got.status, got.body)
	}
	window := func(path, body, opens, closes string) {
		t.Helper()
		got := s.send("POST", "/admin/v1/sales/7/"+path, admin, body)
		if got.status != 200 || opens != "" && got.text("opens_at") != opens || got.text("closes_at") != closes {
			t.Errorf("%s %s: %d %s", path, body, got.status, got.body)
		}
	}
	const opens, closes, later = "2050-01-01T00:00:00.000Z", "2050-01-01T01:00:00.000Z", "2050-01-01T02:00:00.000Z"
	window("open", `{"opens_at":"`+opens+`","closes_at":"`+closes+`"}`, opens, closes)
	window("close", `{"closes_at":"`+later+`"}`, opens, later)
	window("close", `{"closes_at":""}`, opens, "")
	window("open", `{"opens_at":"`+opens+`","closes_at":"`+closes+`"}`, opens, closes)
	window("open", `{}`, "", closes)
	if got := s.send("GET", "/admin/v1/sales/7", admin, ""); got.text("opens_at") > "2049" {
		t.Errorf("a scheduled sale that is opened opens when it was planned: %s", got.body)
	}
	window("open", `{"closes_at":""}`, "", "")
	window("open", `{"closes_at":"`+closes+`"}`, "", closes)
	if got := s.send("POST", "/admin/v1/sales/7/close", admin, `{}`); got.text("phase") != "closed" {
		t.Errorf("close again: %s", got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/close", admin, `{"closes_at":"`+later+`"}`); got.code() != "malformed" {
		t.Errorf("close later what is closed: %s", got.body)
	}
	if got := s.send("GET", "/admin/v1/sales/8", admin, ""); got.code() != "unknown_sale" {
		t.Errorf("an unknown sale: %s", got.body)
	}
	if got := s.send("POST", "/admin/v1/transfers", admin, fmt.Sprintf(`{"sku_id":"1","to_sale_id":"7","quantity":%d,"reason":"x"}`, 1_000)); got.code() != "transfer_refused" {
		t.Errorf("more than there is: %s", got.body)
	}
}
