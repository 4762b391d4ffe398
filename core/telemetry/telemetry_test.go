package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/telemetry"
	"sluice/core/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type readyAnswer struct {
	Status string
	Checks []struct{ Name, Status, Error string }
}

func serve(t *testing.T, set *metrics.Set, checks ...telemetry.Check) *telemetry.Server {
	t.Helper()
	server := &telemetry.Server{}
	if err := server.Serve("127.0.0.1:0", set, checks, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func ready(t *testing.T, url string) (int, readyAnswer) {
	t.Helper()
	status, body := get(t, url)
	var answer readyAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return status, answer
}

func TestReadyFollowsItsChecks(t *testing.T) {
	broken := errors.New("the filter is not complete")
	fails, risky := true, true
	server := serve(t, metrics.NewSet(),
		telemetry.Check{Name: "redis", Probe: func(context.Context) error { return nil }},
		telemetry.Check{Name: "filter", Probe: func(context.Context) error {
			if fails {
				return broken
			}
			return nil
		}},
		telemetry.Check{Name: "redis_settings", Degrades: true, Probe: func(context.Context) error {
			if risky {
				return errors.New("it may forget")
			}
			return nil
		}},
	)
	url := "http://" + server.Addr() + "/readyz"
	shows := func(want string) {
		t.Helper()
		_, page := get(t, "http://"+server.Addr()+"/metrics")
		for _, state := range []string{"ok", "degraded", "fail", "draining"} {
			value := "0"
			if state == want {
				value = "1"
			}
			if line := fmt.Sprintf("sluice_core_readiness_info{state=%q} %s\n", state, value); !strings.Contains(page, line) {
				t.Errorf("while %s, /metrics lacks %s", want, line)
			}
		}
	}
	shows("fail")

	status, answer := ready(t, url)
	if status != http.StatusServiceUnavailable || answer.Status != "fail" || len(answer.Checks) != 2 ||
		answer.Checks[0].Name != "filter" || answer.Checks[0].Error != broken.Error() {
		t.Errorf("with a failing check: %d %+v", status, answer)
	}
	if _, answer := ready(t, url+"?verbose"); len(answer.Checks) != 3 {
		t.Errorf("verbose shows %+v, want all checks", answer.Checks)
	}
	if err := telemetry.AskReady(t.Context(), server.Addr()); err == nil || !strings.Contains(err.Error(), broken.Error()) {
		t.Errorf("asked with a failing check: %v", err)
	}

	fails = false
	status, answer = ready(t, url)
	if status != http.StatusOK || answer.Status != "degraded" || len(answer.Checks) != 1 || answer.Checks[0].Status != "degraded" {
		t.Errorf("with a check that only degrades: %d %+v", status, answer)
	}
	if found, err := telemetry.AskDegraded(t.Context(), server.Addr()); err != nil || !slices.Equal(found, []string{"it may forget"}) {
		t.Errorf("asked what degrades it: %q, %v", found, err)
	}
	shows("degraded")
	risky = false
	shows("ok")
	if status, answer := ready(t, url); status != http.StatusOK || answer.Status != "ok" || len(answer.Checks) != 0 {
		t.Errorf("with every check holding: %d %+v", status, answer)
	}
	if err := telemetry.AskReady(t.Context(), server.Addr()); err != nil {
		t.Errorf("asked with every check holding: %v", err)
	}

	server.Drain()
	shows("draining")
	if status, answer := ready(t, url); status != http.StatusServiceUnavailable || answer.Status != "draining" {
		t.Errorf("while draining: %d %+v", status, answer)
	}
	if status, _ := get(t, "http://"+server.Addr()+"/livez"); status != http.StatusOK {
		t.Errorf("livez while draining: %d", status)
	}
}

// A dependency that hangs and ignores its context must neither hang readyz nor pile up probes.
func TestReadyBoundsAHangingProbe(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{}, 100)
	server := serve(t, metrics.NewSet(), telemetry.Check{Name: "stuck", Probe: func(context.Context) error {
		started <- struct{}{}
		<-release
		return nil
	}})
	t.Cleanup(func() { close(release) }) // before the server's own cleanup

	begin := time.Now()
	for range 2 {
		if status, answer := ready(t, "http://"+server.Addr()+"/readyz"); status != http.StatusServiceUnavailable || len(answer.Checks) != 1 ||
			!strings.Contains(answer.Checks[0].Error, "answers nothing within 1s: is the server hung or overloaded?") {
			t.Errorf("with a hanging check: %d %+v", status, answer)
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("two answers took %v", took)
	}
	if len(started) != 1 {
		t.Errorf("%d probes run at once, want 1", len(started))
	}
}

func TestMetricsAndProfiles(t *testing.T) {
	set := metrics.NewSet()
	set.NewCounter(`sluice_test_total{verdict="ok"}`).Add(7)
	telemetry.Seconds(set, "sluice_test_seconds").Update(0.02)
	telemetry.Sizes(set, `sluice_test_rows{op="add"}`, 128).Update(100)
	server := serve(t, set)

	_, body := get(t, "http://"+server.Addr()+"/metrics")
	for _, want := range []string{
		"# TYPE sluice_test_total counter", `sluice_test_total{verdict="ok"} 7`, "process_resident_memory_bytes", "go_goroutines",
		"# TYPE sluice_test_seconds histogram", `sluice_test_seconds_bucket{le="0.01"} 0`, `sluice_test_seconds_bucket{le="0.02"} 1`,
		"# TYPE sluice_test_rows histogram", `sluice_test_rows_bucket{op="add",le="64"} 0`, `sluice_test_rows_bucket{op="add",le="128"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if status, _ := get(t, "http://"+server.Addr()+"/debug/pprof/goroutine?debug=1"); status != http.StatusOK {
		t.Errorf("pprof: %d", status)
	}
	if status, _ := get(t, "http://"+server.Addr()+"/v1/stock/1"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

func TestServeNamesItsSetting(t *testing.T) {
	server := serve(t, metrics.NewSet())
	var second telemetry.Server
	err := second.Serve(server.Addr(), metrics.NewSet(), nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--ops-listen") {
		t.Errorf("a taken address: %v", err)
	}
	second.Drain()
	if err := second.Shutdown(t.Context()); err != nil {
		t.Errorf("shut down a server that never served: %v", err)
	}
}

func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this")
	log.Warn("this", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "this" {
		t.Errorf("logged %q: %v", out.String(), err)
	}
	for _, format := range []string{"text", "json"} {
		out.Reset()
		if log, err = telemetry.NewLogger(&out, "warn", format); err != nil {
			t.Fatal(err)
		}
		log.Warn("a\u009bb", "x", "\u202e", "error", errors.New("\U000E0041"))
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !text.Plain(r) }) {
			t.Errorf("logged %q", out.String())
		}
	}
	for _, wrong := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := telemetry.NewLogger(&out, wrong[0], wrong[1]); err == nil {
			t.Errorf("level %s, format %s: no error", wrong[0], wrong[1])
		}
	}
}
