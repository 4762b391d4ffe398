package edge_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/evidence"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/edge"
)

// TestShutdownUnderLoad shuts an edge down while shoppers press buy, and compares Redis with the answers: an effect
// without an answer would be a request that was cut off after it was read. Kafka has all effects, too.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	const units = 1_000_000
	s.load(1, units, "")
	tokens := make([]string, 32)
	for i := range tokens {
		tokens[i] = s.token(int64(i+1), auth.RoleShopper)
	}
	addr := s.node.Addr()
	var accepted, otherwise atomic.Int64
	warm := make(chan struct{})
	var shoppers sync.WaitGroup
	for i, token := range tokens {
		shoppers.Go(func() {
			for n := 0; ; n++ {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					return // shut down
				}
				buy(c, token, fmt.Sprintf("%d-%d", i, n), func(status int) {
					if status != http.StatusCreated {
						otherwise.Add(1)
					} else if accepted.Add(1) == 3000 {
						close(warm)
					}
				})
			}
		})
	}
	<-warm
	s.shutdown()
	shoppers.Wait()
	if otherwise.Load() > 0 {
		t.Errorf("%d requests were read and then refused", otherwise.Load())
	}

	store := s.store()
	states, _, err := store.Cells(t.Context(), []stock.Cell{{SKU: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if held := states[0].Held; held != accepted.Load() {
		t.Errorf("%d units are held, %d shoppers were told so", held, accepted.Load())
	}
	partition := stock.Cell{SKU: 1}.Partition(store.Partitions())
	entries, err := store.OutboxAfter(t.Context(), partition, "", 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	topic := outbox.NewTopic(s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic)
	defer topic.Close()
	inKafka := map[string]bool{} // the same entry may be there twice
	for next, end := int64(0), int64(1); next < end; {
		read, err := topic.Read(t.Context(), partition%s.cfg.Kafka.Partitions, next, 1<<20, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.Messages {
			inKafka[m.Entry] = true
		}
		next, end = read.Next, read.End
	}
	for _, e := range entries {
		if !inKafka[e.ID] {
			t.Fatalf("entry %s is not in Kafka", e.ID)
		}
	}
	t.Logf("%d accepted, %d entries", accepted.Load(), len(entries))
}

// buy makes reservations on one connection until it ends.
func buy(c net.Conn, token, prefix string, answered func(status int)) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	r := bufio.NewReader(c)
	const body = `{"sku_id":"1","quantity":1}`
	for n := 0; ; n++ {
		_, err := fmt.Fprintf(c, "POST /v1/reservations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: %s-%d\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", token, prefix, n, len(body), body)
		if err != nil {
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return
		}
		answered(resp.StatusCode)
		if resp.Close {
			return
		}
	}
}

// store is the stock that the edge sells.
func (s *stack) store() *redisstock.Store {
	s.t.Helper()
	client := s.redis()
	store, err := redisstock.New(client, redisstock.Config{Partitions: s.cfg.Stock.Partitions, CallTimeout: 10 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := s.cfg.MySQL.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if err := store.Adopt(s.t.Context(), evidence.NewNonces(db)); err != nil {
		s.t.Fatal(err)
	}
	store.Trust(store.Marks()) // the edge has compared them: cells may be created
	return store
}

func TestRestartedEdgeAnswersRepeatedRequests(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 10, "")
	shopper := s.token(7, auth.RoleShopper)
	first := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "mine")
	for _, dir := range []string{s.cfg.DataDir, t.TempDir()} { // warm, and as a new machine
		s.shutdown()
		s.cfg.DataDir = dir
		s.start()
		again := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "mine")
		if again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("first %s, then %v %s", first.body, again.header, again.body)
		}
		if got := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"4242","quantity":1}`); got.code() != "not_loaded" {
			t.Errorf("an unknown SKU: %s", got.body)
		}
	}
}

func TestExpiredUnitsComeBack(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 1, `,"hold_ms":300`)
	held := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`)
	if held.status != 201 {
		t.Fatal(held.body)
	}
	other := s.token(8, auth.RoleShopper)
	s.until(30*time.Second, "the unit is free again, also behind the sold-out screen", func() bool {
		return s.send("POST", "/v1/reservations", other, `{"sku_id":"1","quantity":1}`).status == 201
	})
	got := s.send("GET", "/v1/reservations/"+held.text("reservation_id"), s.token(7, auth.RoleShopper), "")
	if got.text("state") != "expired" {
		t.Errorf("the first one's reservation: %s", got.body)
	}
}

func TestReadyMeansIt(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var schema atomic.Pointer[error]
	old := errors.New("the schema is old")
	schema.Store(&old)
	s.cfg.CheckSchema = func(context.Context, *sql.DB) error { return *schema.Load() }
	good := s.cfg.MySQL.DSN
	s.loseMySQL() // no evidence, no opening
	s.startUnready()
	status, body := s.ready()
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "shut until it is vetted") || !strings.Contains(body, "the schema is old") {
		t.Errorf("shut, with an old schema: %d %s", status, body)
	}
	if got := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); got.code() != "unavailable" {
		t.Errorf("while Redis is shut: %s", got.body)
	}
	s.shutdown()

	s.cfg.MySQL.DSN = good
	none := error(nil)
	schema.Store(&none)
	s.start()
	schema.Store(&old)
	if status, body := s.ready(); status != http.StatusOK {
		t.Errorf("a schema that was current does not age: %s", body)
	}
}

// TestNotReadyWithoutItsScreen keeps an edge from learning which SKUs there are.
func TestNotReadyWithoutItsScreen(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.shutdown()
	client := s.redis()
	const key = "{p3}:cells"
	if err := client.Do(t.Context(), client.B().Set().Key(key).Value("no hash").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.cfg.DataDir = t.TempDir() // without a snapshot
	s.startUnready()
	if status, body := s.ready(); status != http.StatusServiceUnavailable || !strings.Contains(body, "sku_screen") {
		t.Errorf("with a partition that cannot be counted: %d %s", status, body)
	}
	if err := client.Do(t.Context(), client.B().Del().Key(key).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.waitReady()
}

func TestValidateReportsEveryFault(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	if err := s.cfg.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	bad := s.cfg
	bad.Listen, bad.DataDir, bad.TokenKeyFile = "nowhere", "", ""
	bad.RatePerUser, bad.RatePerAddress, bad.BurstPerAddress, bad.TrustedProxies = -1, 1e-9, 0, []string{"10.0.0.1"}
	bad.QueueMax, bad.ReadTimeout, bad.Stock.Partitions = 0, 0, 0
	err := bad.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, setting := range []string{
		"listen", "data-dir", "token-key-file", "rate-per-user", "rate-per-address", "burst-per-address", "trusted-proxies",
		"queue-max", "read-timeout", "partitions",
	} {
		if !strings.Contains(err.Error(), setting+":") {
			t.Errorf("nothing about %s in: %v", setting, err)
		}
	}
	if _, err := edge.Start(t.Context(), bad, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started")
	}
}

// TestStartRefusesAnothersRedis starts edges with other settings than the one that sells: each would look
// for a SKU in another partition, or sell for another deployment.
// TestNotReadyOnAnotherLedger meets the Redis of a deployment of the same name that has another MySQL: it opens
// nothing, and says what to do. The first edge sells on.
func TestNotReadyOnAnotherLedger(t *testing.T) {
	t.Parallel()
	s, second := newStack(t), newStack(t)
	s.start()
	s.load(1, 5, "")
	second.cfg.Redis, second.cfg.Stock.Deployment = s.cfg.Redis, s.cfg.Stock.Deployment
	second.startUnready()
	second.until(30*time.Second, "it says whose Redis it is", func() bool {
		status, body := second.ready()
		return status == http.StatusServiceUnavailable && strings.Contains(body, "set SLUICE_MYSQL_DSN")
	})
	service := s.token(9, auth.RoleService)
	if a := s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":5,"user_id":"7"}`); a.status != 201 {
		t.Errorf("the first one: %d %s", a.status, a.body)
	}
}

func TestStartRefusesAnothersRedis(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	for flag, wrong := range map[string]config.Agreed{
		"--partitions": {Partitions: 32, Deployment: s.cfg.Stock.Deployment}, "--deployment": {Partitions: 64, Deployment: "other"},
	} {
		cfg := s.cfg
		cfg.DataDir = t.TempDir()
		cfg.Stock.Partitions, cfg.Stock.Deployment = wrong.Partitions, wrong.Deployment
		_, err := edge.Start(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if !errors.Is(err, redisstock.ErrForeign) || !strings.Contains(err.Error(), "set "+flag) {
			t.Errorf("another %s: %v", flag, err)
		}
	}
}

// TestNewRedisOpenedByAnother lets another deployment open a Redis that was nobody's when the edge started.
func TestNewRedisOpenedByAnother(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.loseMySQL() // no evidence, no opening
	s.startUnready()
	client := s.redis()
	_, err := redisstock.Open(t.Context(), client, redisstock.OpenConfig{
		Partitions: 32, Deployment: s.cfg.Stock.Deployment, Evidence: redistest.NoEvidence{}, Nonces: &redistest.Nonces{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, body := s.ready(); status != http.StatusServiceUnavailable || !strings.Contains(body, "of a deployment of 32 partitions") {
		t.Errorf("with another's Redis: %d %s", status, body)
	}
}

func TestStartThatFailsLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.cfg.Listen = taken.Addr().String()
	if _, err := edge.Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("Start on a taken port: %v", err)
	}
	s.cfg.Listen, s.cfg.Ops.Listen = "127.0.0.1:0", taken.Addr().String()
	if _, err := edge.Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started without an ops port")
	}
}
