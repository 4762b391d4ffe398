package conns_test

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/edge/internal/conns"
)

// told is a log.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestOutOfFiles opens a connection while the process has no file left for it. The listener logs and counts this, and
// serves the connection as soon as there is a file. The test runs alone, because the limit is the process's.
func TestOutOfFiles(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	var log told
	set := metrics.NewSet()
	l := serve(t, conns.Config{Metrics: set, Log: slog.New(slog.NewTextHandler(&log, nil))}, ok)
	few := before
	few.Cur = min(before.Cur, 200)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	restore := sync.OnceFunc(func() {
		for _, f := range files {
			_ = f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore) // before the server is drained
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	last := len(files) - 1
	_ = files[last].Close() // for our end of the connection
	files = files[:last]
	c := dial(t, l)
	failures := set.GetOrCreateCounter("sluice_edge_http_accept_failures_total")
	for deadline := time.Now().Add(10 * time.Second); failures.Get() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d failures are counted", failures.Get())
		}
	}
	restore()
	if status, body := exchange(t, c, get); status != 200 || body != "ok" {
		t.Errorf("once there are files again: %d %q", status, body)
	}
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "too many open files") {
		t.Errorf("the log says %q, want one line", said)
	}
}
