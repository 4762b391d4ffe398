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
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/evidence"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/edge"
)

// TestShutdownUnderLoad shuts an edge down while shoppers press buy, and holds what Redis has to what
// they were told: an effect without its answer would be a request cut after it was read. What happened
// is in Kafka, too.
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
	client, err := s.cfg.Redis.Client()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
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

func TestRestartedRedisIsVettedAndSellsAgain(t *testing.T) {
	t.Parallel()
	redis := servicetest.Redis(t)
	s := newStack(t, redis.Addr)
	s.start()
	s.load(1, 10, "")
	shopper := s.token(7, auth.RoleShopper)
	reserve := func() answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1","quantity":1}`, "Idempotency-Key", "mine")
	}
	first := reserve()
	if first.status != 201 {
		t.Fatal(first.body)
	}
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := reserve(); got.status != 503 && got.status != 504 || got.json["retryable"] != true {
		t.Errorf("without Redis: %d %s", got.status, got.body)
	}
	if status, _ := s.ready(); status == http.StatusOK {
		t.Error("ready without Redis")
	}
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until(30*time.Second, "the restarted Redis sells", func() bool {
		got := reserve()
		if got.status == 201 && (got.body != first.body || got.header.Get("Idempotent-Replayed") != "true") {
			t.Errorf("the repeated request: %v %s", got.header, got.body)
		}
		return got.status == 201
	})
	s.waitReady()
}

// TestRedisThatLostEffectsStaysShut shuts a Redis that is behind of what MySQL or Kafka has.
func TestRedisThatLostEffectsStaysShut(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(s *stack, client rueidis.Client){
		"behind of the stock table": func(s *stack, _ rueidis.Client) {
			db, err := s.cfg.MySQL.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			_, err = db.ExecContext(t.Context(), `INSERT INTO product_inventories
				(sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (1, 10, 10, 0, 0, 1, 6, NOW(3))`)
			if err != nil {
				t.Fatal(err)
			}
		},
		"behind of the end of Kafka": func(s *stack, client rueidis.Client) {
			if err := client.Do(t.Context(), client.B().Flushall().Build()).Error(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.start()
			s.load(1, 10, "")
			client, err := s.cfg.Redis.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			lose(s, client)
			if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
				t.Fatal(err)
			}
			s.until(30*time.Second, "Redis was vetted", func() bool {
				_, figures := s.ops("/metrics")
				return !strings.Contains(figures, "sluice_edge_gate_failures_total 0\n") || !strings.Contains(figures, "sluice_edge_gate_openings_total 1\n")
			})
			if status, body := s.ready(); status != http.StatusServiceUnavailable || !strings.Contains(body, "shut until it is vetted") {
				t.Errorf("readiness: %d %s", status, body)
			}
			got := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`)
			if got.status != 503 || got.code() != "unavailable" {
				t.Errorf("reserve: %d %s", got.status, got.body)
			}
		})
	}
}

// TestDataLostWithoutARestart empties a Redis that sells and goes on running, scripts and all. Neither the edge
// that was there, nor its restart, nor a new machine sells a unit twice, and nobody creates the SKU again.
func TestDataLostWithoutARestart(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"FLUSHDB", "FLUSHALL"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.start()
			s.load(1, 5, "")
			service := s.token(9, auth.RoleService)
			if a := s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":5,"user_id":"7"}`); a.status != 201 {
				t.Fatal(a.body)
			}
			s.awaitKafka(2)
			client, err := s.cfg.Redis.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Do(t.Context(), client.B().Arbitrary(command).Build()).Error(); err != nil {
				t.Fatal(err)
			}
			for _, run := range []struct{ name, dir string }{{"running", ""}, {"restarted", s.cfg.DataDir}, {"new", t.TempDir()}} {
				if run.dir != "" {
					s.shutdown()
					s.cfg.DataDir = run.dir
					s.startUnready()
				}
				a := s.send("PUT", "/admin/v1/skus/1", s.token(1, auth.RoleAdmin), `{"quantity":5,"reason":"again"}`)
				b := s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":5,"user_id":"8"}`)
				for _, got := range []answer{a, b} {
					if got.status != 503 || got.code() != "unavailable" {
						t.Errorf("%s edge: %d %s", run.name, got.status, got.body)
					}
				}
				s.until(30*time.Second, "the edge says why", func() bool {
					status, body := s.ready()
					return status == http.StatusServiceUnavailable && strings.Contains(body, "shut until it is vetted")
				})
			}
		})
	}
}

// TestDataSetBackToTheirNonce sets Redis back to a copy from after its vetting and before its stock, which has
// the nonce that MySQL knows. A new edge compares it before it sells or creates anything, and one that has seen
// more notices by itself.
func TestDataSetBackToTheirNonce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	client, err := s.cfg.Redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	copied := dumpAll(t, client)
	s.load(1, 5, "")
	service := s.token(9, auth.RoleService)
	if a := s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":5,"user_id":"7"}`); a.status != 201 {
		t.Fatal(a.body)
	}
	s.awaitKafka(2)
	s.shutdown()
	warm := s.cfg.DataDir
	for name, dir := range map[string]string{"new": t.TempDir(), "warm": warm} {
		restoreAll(t, client, copied)
		s.cfg.DataDir = dir
		s.startUnready()
		s.until(30*time.Second, "it was vetted", func() bool {
			_, figures := s.ops("/metrics")
			return !strings.Contains(figures, "sluice_edge_gate_failures_total 0\n")
		})
		if a := s.send("PUT", "/admin/v1/skus/1", s.token(1, auth.RoleAdmin), `{"quantity":5,"reason":"again"}`); a.status != 503 {
			t.Errorf("%s: the SKU was created afresh: %d %s", name, a.status, a.body)
		}
		if a := s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":5,"user_id":"8"}`); a.status != 503 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		s.shutdown()
	}
}

// TestRestartedEdgeSellsWithoutMySQL: an edge that trusted the data in its last run sells at once, though it
// cannot compare them.
func TestRestartedEdgeSellsWithoutMySQL(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 5, "")
	s.shutdown()
	s.cfg.MySQL.DSN = config.Secret("nobody:x@tcp(127.0.0.1:1)/nothing")
	s.start()
	if a := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.send("PUT", "/admin/v1/skus/2", s.token(1, auth.RoleAdmin), `{"quantity":5,"reason":"new"}`); a.status != 503 {
		t.Errorf("a SKU that MySQL may know was created: %d %s", a.status, a.body)
	}
}

// TestKilledEdgeSellsWithoutMySQL takes the data directory as a kill leaves it, right after Redis was opened: what the
// edge trusted is in it.
func TestKilledEdgeSellsWithoutMySQL(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 5, "")
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(s.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	s.shutdown()
	s.cfg.DataDir = killed
	s.cfg.MySQL.DSN = config.Secret("nobody:x@tcp(127.0.0.1:1)/nothing")
	s.startUnready()
	if a := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestDataSetBackWhatOnlyAnEdgeHasSeen sets Redis back to before a sale that neither MySQL nor Kafka has. The edge
// that made it remembers over its restart that there was more. The partition is shut while it cannot compare the data; once
// it has, it opens them anew, and the SKU whose events it misses stays shut.
func TestDataSetBackWhatOnlyAnEdgeHasSeen(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	client, err := s.cfg.Redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s.load(1, 5, "")
	copied := dumpAll(t, client)
	service := s.token(9, auth.RoleService)
	deduct := func(user int) answer {
		t.Helper()
		return s.send("POST", "/v1/deductions", service, fmt.Sprintf(`{"sku_id":"1","quantity":5,"user_id":"%d"}`, user))
	}
	if a := deduct(7); a.status != 201 {
		t.Fatal(a.body)
	}
	s.shutdown()
	restoreAll(t, client, copied)
	s.cfg.Kafka.Topic = "sluice.events.lost"
	if err := outbox.CreateTopic(t.Context(), s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic, s.cfg.Kafka.Partitions, 1); err != nil {
		t.Fatal(err)
	}

	there := s.cfg.MySQL.DSN
	s.cfg.MySQL.DSN = "nobody:x@tcp(127.0.0.1:1)/nothing"
	s.startUnready()
	s.until(30*time.Second, "it tries to vet", func() bool {
		_, figures := s.ops("/metrics")
		return !strings.Contains(figures, "sluice_edge_gate_failures_total 0\n")
	})
	if _, body := s.ready(); !strings.Contains(body, "some partitions of Redis are shut") {
		t.Errorf("without MySQL: readiness: %s", body)
	}
	s.shutdown() // without a request: it would shut the data for everybody

	s.cfg.MySQL.DSN = there
	nonce := func() uint64 {
		t.Helper()
		nonces, err := evidence.NewNonces(s.database()).Read(t.Context(), s.cfg.Stock.Partitions)
		if err != nil {
			t.Fatal(err)
		}
		return nonces[stock.Cell{SKU: 1}.Partition(s.cfg.Stock.Partitions)].Nonce
	}
	before := nonce()
	s.start()
	s.until(30*time.Second, "it has compared the data", func() bool {
		_, figures := s.ops("/metrics")
		return strings.Contains(figures, "sluice_core_redis_state_info{state=\"open\"} 1\n")
	})
	if a := deduct(8); a.code() != "fenced" {
		t.Errorf("with MySQL: %d %s", a.status, a.body)
	}
	if nonce() == before {
		t.Error("the data have the nonce of those that had more: others could not tell them apart")
	}
}

// awaitKafka waits until Kafka has so many messages.
func (s *stack) awaitKafka(messages int64) {
	s.t.Helper()
	topic := outbox.NewTopic(s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic)
	defer topic.Close()
	s.until(20*time.Second, "Kafka has the events", func() bool {
		unread, err := topic.Unread(s.t.Context(), s.cfg.Kafka.Group)
		if err != nil {
			return false
		}
		n := int64(0)
		for _, r := range unread {
			n += r.End - r.First
		}
		return n >= messages
	})
}

// dumpAll copies all keys.
func dumpAll(t *testing.T, client rueidis.Client) map[string]string {
	t.Helper()
	keys, err := client.Do(t.Context(), client.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]string{}
	for _, key := range keys {
		if copied[key], err = client.Do(t.Context(), client.B().Dump().Key(key).Build()).ToString(); err != nil {
			t.Fatal(err)
		}
	}
	return copied
}

// restoreAll puts a copy in the place of all keys.
func restoreAll(t *testing.T, client rueidis.Client, copied map[string]string) {
	t.Helper()
	commands := []rueidis.Completed{client.B().Flushdb().Build()}
	for key, value := range copied {
		commands = append(commands, client.B().Restore().Key(key).Ttl(0).SerializedValue(value).Build())
	}
	for _, answer := range client.DoMulti(t.Context(), commands...) {
		if err := answer.Error(); err != nil {
			t.Fatal(err)
		}
	}
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
	s.cfg.MySQL.DSN = config.Secret("nobody:x@tcp(127.0.0.1:1)/nothing") // no evidence, no opening
	var err error
	s.node, err = edge.Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
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
	client, err := s.cfg.Redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const key = "{p3}:cells"
	if err := client.Do(t.Context(), client.B().Set().Key(key).Value("no hash").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.cfg.DataDir = t.TempDir() // without a snapshot
	s.node, err = edge.Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.shutdown()
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
	s.cfg.MySQL.DSN = config.Secret("nobody:x@tcp(127.0.0.1:1)/nothing") // no evidence, no opening
	var err error
	s.node, err = edge.Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.shutdown()
	client, err := s.cfg.Redis.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = redisstock.Open(t.Context(), client, redisstock.OpenConfig{
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
