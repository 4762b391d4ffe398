package catalog_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/catalog"
	"sluice/core/auth"
	"sluice/core/telemetry/telemetrytest"
)

func TestShopShowsItsMetricsAndHealth(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.withProviders()
	s.start()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.node.Addr()+"/v1/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token(7, auth.RoleShopper))
	resp, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	_, page := s.get("/metrics")
	telemetrytest.Check(t, ofShop(page), "catalog")
	if !strings.Contains(page, `sluice_catalog_http_requests_total{route="show_me",outcome="unknown_user"} 1`) {
		t.Errorf("the request is not counted: %s", page)
	}
	if status, body := s.get("/readyz?verbose"); status != http.StatusOK || !strings.Contains(body, `"schema"`) {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := s.get("/messages"); status != http.StatusNotFound {
		t.Errorf("messages of a shop without an inbox: %d %s", status, body)
	}
	s.everywhere("UPDATE account_schema_version__ SET version_id = 0")
	if status, body := s.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "sluice catalog migrate") {
		t.Errorf("without its tables: %d %s", status, body)
	}
}

// ofShop leaves out the metrics that every process has.
func ofShop(page string) string {
	var kept strings.Builder
	for line := range strings.Lines(page) {
		if !strings.Contains(line, "sluice_core_") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// Beyond its connections the shop takes no further ones, until one ends.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.ConnectionsMax, s.cfg.ReadTimeout, s.cfg.IdleTimeout = 1, time.Minute, time.Minute
	s.start()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.node.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	answer := func(conn net.Conn, within time.Duration) error {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	ask := func() net.Conn {
		t.Helper()
		conn := dial()
		if _, err := io.WriteString(conn, "GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := ask()
	if err := answer(first, time.Minute); err != nil {
		t.Fatal(err)
	}
	second := ask()
	if err := answer(second, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("beside another connection: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := answer(second, time.Minute); err != nil {
		t.Errorf("after the other one: %v", err)
	}
}

// A shop without its tables, or with wrong settings, does not start and says what to do.
func TestShopThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	wrong := s.cfg
	wrong.RequestsMax, wrong.Listen = 0, "nowhere"
	_, err := catalog.Start(t.Context(), wrong, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "requests-max: 0") || !strings.Contains(err.Error(), `catalog-listen: "nowhere"`) {
		t.Errorf("wrong settings: %v", err)
	}
	// Rules are looked at before any server is, as all files are. A pipe would keep the shop waiting, and give its rules once.
	wrong = s.cfg
	wrong.AssessRulesFile = rulesOf(t, "{\"rules\":[\n{\"name\":\u201ca\u201d}]}")
	if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), "assess-rules-file: rules ") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("rules from a word processor: %v", err)
	}
	wrong.AssessRulesFile = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(wrong.AssessRulesFile, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), "can be read again and again") {
		t.Errorf("rules from a pipe: %v", err)
	}
	s.everywhere("DROP TABLE account_schema_version__")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := &lines{}
	ended := make(chan error, 1)
	go func() {
		_, err := catalog.Start(ctx, s.cfg, slog.New(slog.NewTextHandler(notifying{waiting, cancel}, nil)))
		ended <- err
	}()
	if err := <-ended; err == nil || !strings.Contains(waiting.String(), "sluice catalog migrate") {
		t.Errorf("without tables: %v, logged %s", err, waiting.String())
	}
}

// notifying calls back once something was logged.
type notifying struct {
	*lines
	logged func()
}

func (n notifying) Write(p []byte) (int, error) {
	defer n.logged()
	return n.lines.Write(p)
}
