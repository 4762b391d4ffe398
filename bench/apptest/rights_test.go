package apptest

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/redis"
)

// TestRightsOfTheDocument runs the whole system with the users of Redis that the document makes.
func TestRightsOfTheDocument(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "SLUICE_REDIS_USER=sluice_operator", "SLUICE_REDIS_PASSWORD=PASSWORD")
	cfg := redis.Config{Addrs: []string{s.Redis.Addr}, CallTimeout: time.Second}
	admin, err := cfg.Client()
	must(t, err)
	t.Cleanup(admin.Close)
	lines := regexp.MustCompile(`(?m)^ACL SETUSER .*$`).FindAllString(string(one(os.ReadFile("../../docs/security.md"))(t)), -1)
	if len(lines) != 3 {
		t.Fatalf("the document has %d users of Redis, want 3", len(lines))
	}
	for _, line := range lines {
		must(t, admin.Do(t.Context(), admin.B().Arbitrary(strings.Fields(line)...).Build()).Error())
	}

	s.LoadCSV("sku_id,quantity,limit", "1001,100,")
	edge := s.StartEdge("SLUICE_REDIS_USER=sluice_edge")
	persister := s.StartPersister("SLUICE_REDIS_USER=sluice_persister")
	service := newClient(t, "http://"+edge.Addr()).As(s.Token(1, "service"))
	for user := range int64(4) {
		r := one(service.Reserve(t.Context(), client.Take{SKU: 1001, Quantity: 1, User: 1 + user}))(t)
		if user%2 == 0 {
			one(service.Confirm(t.Context(), r.ID))(t)
		} else {
			one(service.Release(t.Context(), r.ID))(t)
		}
	}
	s.Drained(t, time.Minute)
	if shown := s.Run("", "stock", "show", "1001"); !strings.Contains(shown, "98") {
		t.Errorf("the stock is %s", shown)
	}
	if found := s.Run("", "doctor"); strings.Contains(found, "NOPERM") || strings.Contains(found, "unverified") {
		t.Errorf("doctor says %s", found)
	}
	within(t, time.Minute, func() bool { return strings.HasPrefix(ask(t, edge, "/readyz"), `{"status":"ok"`) })
	for _, process := range []*stack.Process{edge, persister} {
		page := ask(t, process, "/metrics")
		for _, name := range []string{"sluice_core_expiry_failures_total", "sluice_core_relay_failures_total"} {
			if !strings.Contains(page, name+" 0\n") {
				t.Errorf("%s is not 0", name)
			}
		}
	}
}

// ask asks the ops port of a process.
func ask(t *testing.T, p *stack.Process, path string) string {
	t.Helper()
	request := one(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Addrs[len(p.Addrs)-1]+path, nil))(t)
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	return string(one(io.ReadAll(answer.Body))(t))
}
