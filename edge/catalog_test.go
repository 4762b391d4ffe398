package edge_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/core/outbox"
)

// Two edges that keep answers of a catalog give the new one soon after an event, and the kept one while Kafka and the catalog are away.
func TestEdgesKeepWhatTheCatalogAnswers(t *testing.T) {
	t.Parallel()
	const id, path = "prd_0000000000013", "/v1/products/prd_0000000000013"
	var version atomic.Int64
	version.Store(1)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/product_snapshot" {
			if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
				t.Error("an edge asks for the snapshot without a token")
			}
			_, _ = fmt.Fprintf(w, `{"data":[{"aggregate_id":%q}]}`, id)
			return
		}
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, version.Load()))
		_, _ = fmt.Fprintf(w, `{"product_id":%q,"version":%d}`, id, version.Load())
	}))
	defer shop.Close()
	edges := []*stack{newStack(t)}
	edges = append(edges, beside(t, edges[0]))
	client, err := kgo.NewClient(kgo.SeedBrokers(edges[0].cfg.Kafka.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tell := func(version int64) {
		t.Helper()
		event := fmt.Sprintf(`{"event_id":"evt_0000000000001","type":"product_changed","at":"2026-11-28T10:00:00Z","aggregate_id":%q,"version":%d,"data":{"stage":"listed"}}`, id, version)
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "sluice.products.v1", Key: []byte(id), Value: []byte(event)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, topic := range []string{"sluice.products.v1", "sluice.sellers.v1"} {
		if err := outbox.CreateTopic(t.Context(), edges[0].cfg.Kafka.Brokers, topic, 2, 1); err != nil {
			t.Fatal(err)
		}
	}
	want := func(e *stack, version int64) bool {
		got := e.send("GET", path, "", "")
		return got.status == http.StatusOK && got.body == fmt.Sprintf(`{"product_id":%q,"version":%d}`, id, version)
	}
	for _, e := range edges {
		e.cfg.Catalog.URL, e.cfg.Catalog.Life = shop.URL, time.Hour
		e.start()
		if !want(e, 1) {
			t.Fatal("the edge does not answer for the catalog")
		}
	}
	// An edge that does not follow yet reads from some time before.
	for v := int64(2); v < 12; v++ {
		version.Store(v)
		tell(v)
		told := time.Now()
		for _, e := range edges {
			e.until(time.Minute, "the new answer is there", func() bool { return want(e, v) })
		}
		t.Logf("version %d was there after %v", v, time.Since(told))
	}
	made := 100 // another one each time: the shop of this test has all that it is asked for, and an edge keeps that
	for _, e := range edges {
		e.until(time.Minute, "what nothing has is refused", func() bool {
			made++
			return e.send("GET", fmt.Sprintf("/v1/products/prd_%013d", made), "", "").code() == "unknown_product"
		})
	}
	shop.Close()
	for _, e := range edges {
		if !want(e, 11) {
			t.Error("a kept answer is gone with the catalog")
		}
	}
	tell(12)
	for _, e := range edges {
		e.until(time.Minute, "a stale answer says so", func() bool {
			got := e.send("GET", path, "", "")
			return got.status == http.StatusOK && got.header.Get("Age") != "" && got.header.Get("Cache-Status") != ""
		})
	}
}

// beside is a second edge on the servers of another.
func beside(t *testing.T, other *stack) *stack {
	t.Helper()
	e := &stack{t: t, keys: other.keys, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	e.cfg = other.cfg
	e.cfg.DataDir = t.TempDir()
	return e
}
