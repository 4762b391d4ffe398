package edge_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/evidence"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

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

// TestPartitionThatLostEffectsStaysShut gives MySQL an event of a SKU that Redis lacks. The partition of the SKU
// refuses all calls, whether Redis has restarted or not, and whether the edge is new or not. The others sell, and the
// edge is ready and says what is wrong.
func TestPartitionThatLostEffectsStaysShut(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	const lost, whole = int64(1), int64(2)
	partition := func(sku int64) int { return stock.Cell{SKU: sku}.Partition(s.cfg.Stock.Partitions) }
	beside := func(sku int64) int64 { // a new SKU of the same partition
		other := sku + 1000
		for partition(other) != partition(sku) {
			other++
		}
		return other
	}
	s.load(lost, 10, "")
	s.load(whole, 10, "")
	shopper, service, admin := s.token(7, auth.RoleShopper), s.token(9, auth.RoleService), s.token(1, auth.RoleAdmin)
	held := s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1","quantity":1}`)
	if held.status != 201 {
		t.Fatal(held.body)
	}
	reservation := "/v1/reservations/" + held.text("reservation_id")
	client := s.redis()
	db := s.database()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO product_inventories
		(sku_id, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated) VALUES (1, 10, 10, 0, 0, 1, 6, NOW(3))`)

	user := int64(100)
	sells := func(when string) {
		t.Helper()
		user++
		if got := s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"2","quantity":1}`); got.status != 201 {
			t.Errorf("%s: reserve the SKU that is whole: %d %s", when, got.status, got.body)
		}
		if got := s.send("GET", "/v1/stock?sku_ids=1,2", "", ""); got.status != 200 || !strings.Contains(got.body, `"sku_id":"2"`) || strings.Contains(got.body, `"sku_id":"1"`) {
			t.Errorf("%s: look at both: %d %s", when, got.status, got.body)
		}
	}
	refuses := func(when string) {
		t.Helper()
		for what, got := range map[string]answer{
			"reserve": s.send("POST", "/v1/reservations", shopper, `{"sku_id":"1","quantity":1}`),
			"deduct":  s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":1,"user_id":"8"}`),
			"confirm": s.send("POST", reservation+"/confirm", service, ""),
			"release": s.send("POST", reservation+"/release", shopper, ""),
			"look":    s.send("GET", "/v1/stock/1", "", ""),
			"adjust":  s.send("POST", "/admin/v1/skus/1/adjustments", admin, `{"delta":1,"reason":"x"}`),
			"create":  s.send("PUT", fmt.Sprintf("/admin/v1/skus/%d", beside(lost)), admin, `{"quantity":1,"reason":"x"}`),
		} {
			if got.status != 503 || got.code() != "unavailable" || !strings.Contains(got.text("detail"), "is shut") {
				t.Errorf("%s: %s: %d %s", when, what, got.status, got.body)
			}
		}
	}
	tells := func(when string) {
		t.Helper()
		s.until(30*time.Second, when+": the edge says what is wrong", func() bool {
			status, body := s.ready()
			_, figures := s.ops("/metrics")
			return status == http.StatusOK && strings.HasPrefix(body, `{"status":"degraded"`) &&
				strings.Contains(body, fmt.Sprintf("in part: partition %d: it has lost effects of 1 cells", partition(lost))) &&
				strings.Contains(body, "docs/backup.md") &&
				strings.Contains(figures, "sluice_core_redis_shut_partitions 1\n")
		})
		shut := s.send("GET", "/admin/v1/shut-cells", admin, "")
		if shut.status != 200 || !strings.Contains(shut.body, fmt.Sprintf(`"shut_partitions":[%d]`, partition(lost))) {
			t.Errorf("%s: shut cells: %d %s", when, shut.status, shut.body)
		}
	}
	restart := func(dir string) {
		t.Helper()
		s.shutdown()
		s.cfg.DataDir = dir
		s.startUnready()
	}
	for _, run := range []struct {
		when string
		do   func()
	}{
		{"the edge is started anew", func() { restart(s.cfg.DataDir) }},
		{"Redis has restarted", func() {
			if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}},
		{"the edge is new", func() { restart(t.TempDir()) }},
	} {
		run.do()
		s.until(30*time.Second, "the others sell: "+run.when, func() bool {
			user++
			return s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"2","quantity":1}`).status == 201
		})
		tells(run.when)
		sells(run.when)
		refuses(run.when)
	}
	if got := s.send("PUT", fmt.Sprintf("/admin/v1/skus/%d", beside(whole)), admin, `{"quantity":1,"reason":"x"}`); got.status != 201 {
		t.Errorf("create a SKU where nothing is lost: %d %s", got.status, got.body)
	}

	sale := func(id uint32, items string) answer {
		t.Helper()
		return s.send("PUT", fmt.Sprintf("/admin/v1/sales/%d", id), admin, `{"name":"Sale","items":[`+items+`]}`)
	}
	if got := sale(5, `{"sku_id":"1","quantity":1},{"sku_id":"2","quantity":1}`); got.status != 503 || got.code() != "unavailable" || !strings.Contains(got.text("detail"), "SKU 1") {
		t.Errorf("create a sale with a SKU that is shut: %d %s", got.status, got.body)
	}
	id := uint32(6)
	for (stock.Cell{SKU: whole, Pool: id}).Partition(s.cfg.Stock.Partitions) == partition(lost) {
		id++
	}
	if got := sale(id, `{"sku_id":"2","quantity":1}`); got.status != 201 {
		t.Errorf("create a sale of the others: %d %s", got.status, got.body)
	}

	exec("DELETE FROM product_inventories WHERE sku_id = 1") // as if the data were back
	s.until(time.Minute, "the partition is opened", func() bool {
		user++
		return s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"1","quantity":1}`).status == 201
	})
	if got := s.send("POST", reservation+"/confirm", service, ""); got.status != 200 {
		t.Errorf("confirm what was held: %d %s", got.status, got.body)
	}
	s.until(10*time.Second, "all is well", func() bool {
		_, body := s.ready()
		return strings.HasPrefix(body, `{"status":"ok"`)
	})
}

// TestEmptyRedisStaysShut empties Redis and forgets its scripts, while Kafka has its events: nothing of it is opened.
func TestEmptyRedisStaysShut(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 10, "")
	client := s.redis()
	for _, command := range []string{"FLUSHALL", "SCRIPT FLUSH"} {
		if err := client.Do(t.Context(), client.B().Arbitrary(strings.Fields(command)...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	s.until(30*time.Second, "the edge says why", func() bool {
		status, body := s.ready()
		return status == http.StatusServiceUnavailable && strings.Contains(body, "shut until it is vetted") && strings.Contains(body, "it holds nothing")
	})
	for what, got := range map[string]answer{
		"reserve": s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`),
		"create":  s.send("PUT", "/admin/v1/skus/2", s.token(1, auth.RoleAdmin), `{"quantity":1,"reason":"x"}`),
	} {
		if got.status != 503 || got.code() != "unavailable" {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
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
			client := s.redis()
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
	client := s.redis()
	copied := redistest.Copy(t, client)
	s.load(1, 5, "")
	service := s.token(9, auth.RoleService)
	if a := s.send("POST", "/v1/deductions", service, `{"sku_id":"1","quantity":5,"user_id":"7"}`); a.status != 201 {
		t.Fatal(a.body)
	}
	s.awaitKafka(2)
	s.shutdown()
	warm := s.cfg.DataDir
	for name, dir := range map[string]string{"new": t.TempDir(), "warm": warm} {
		redistest.SetBack(t, client, copied)
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
	s.loseMySQL()
	s.start()
	if a := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.send("PUT", "/admin/v1/skus/2", s.token(1, auth.RoleAdmin), `{"quantity":5,"reason":"new"}`); a.status != 503 {
		t.Errorf("a SKU that MySQL may know was created: %d %s", a.status, a.body)
	}
}

// kill leaves the data directory as a kill of the edge at this moment would.
func (s *stack) kill() {
	s.t.Helper()
	killed := s.t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(s.cfg.DataDir)); err != nil {
		s.t.Fatal(err)
	}
	s.shutdown()
	s.cfg.DataDir = killed
}

// hasKept reports whether the edge has written something into its directory.
func (s *stack) hasKept(what []byte) bool {
	s.t.Helper()
	files, err := os.ReadDir(s.cfg.DataDir)
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file os.DirEntry) bool {
		kept, err := os.ReadFile(filepath.Join(s.cfg.DataDir, file.Name()))
		return err == nil && bytes.Contains(kept, what)
	})
}

// TestKilledEdgeSellsWithoutMySQL takes the data directory as a kill leaves it, right after Redis was opened: what the
// edge trusted is in it.
func TestKilledEdgeSellsWithoutMySQL(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	s.load(1, 5, "")
	s.kill()
	s.loseMySQL()
	s.startUnready()
	if a := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestKilledEdgeKnowsWhatOthersVetted is killed after somebody else has vetted Redis: it sells at its next start, too.
func TestKilledEdgeKnowsWhatOthersVetted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	client := s.redis()
	s.load(1, 5, "")
	if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	kafka := evidence.KafkaTail{Brokers: s.cfg.Kafka.Brokers, Topic: s.cfg.Kafka.Topic, Group: s.cfg.Kafka.Group}
	vetted, err := redisstock.Open(t.Context(), client, redisstock.OpenConfig{
		Partitions: s.cfg.Stock.Partitions, Deployment: s.cfg.Stock.Deployment,
		Evidence: evidence.New(s.database(), kafka), Nonces: evidence.NewNonces(s.database()),
	})
	if err != nil {
		t.Fatal(err)
	}
	reserve := func(user int64) answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", s.token(user, auth.RoleShopper), `{"sku_id":"1","quantity":1}`)
	}
	s.until(30*time.Second, "it trusts what was vetted", func() bool { return reserve(7).status == 201 })
	nonce := fmt.Appendf(nil, `"nonce":"%d"`, vetted.Marks[0].Nonce)
	s.until(30*time.Second, "it has written down what it trusts", func() bool { return s.hasKept(nonce) })
	s.kill()
	s.loseMySQL()
	s.startUnready()
	if a := reserve(8); a.status != 201 {
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
	client := s.redis()
	s.load(1, 5, "")
	copied := redistest.Copy(t, client)
	service := s.token(9, auth.RoleService)
	deduct := func(user int) answer {
		t.Helper()
		return s.send("POST", "/v1/deductions", service, fmt.Sprintf(`{"sku_id":"1","quantity":5,"user_id":"%d"}`, user))
	}
	if a := deduct(7); a.status != 201 {
		t.Fatal(a.body)
	}
	s.shutdown()
	redistest.SetBack(t, client, copied)
	s.cfg.Kafka.Topic = "sluice.events.lost"
	if err := outbox.CreateTopic(t.Context(), s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic, s.cfg.Kafka.Partitions, 1); err != nil {
		t.Fatal(err)
	}

	there := s.cfg.MySQL.DSN
	s.loseMySQL()
	s.startUnready()
	s.until(30*time.Second, "it tries to vet", func() bool {
		_, figures := s.ops("/metrics")
		return !strings.Contains(figures, "sluice_edge_gate_failures_total 0\n")
	})
	if _, body := s.ready(); !strings.Contains(body, "some partitions of redis are shut") {
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
