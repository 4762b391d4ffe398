package dev_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"sluice/cli/command"
	"sluice/cli/dev"
	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) {
	if err := os.Setenv("SLUICE_REDIS_CALL_TIMEOUT", "10s"); err != nil { // tests share a machine
		panic(err)
	}
	goleak.VerifyTestMain(servicetest.Main(m),
		// fasthttp's clock and its pool's cleaner notice an end only after a pause.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// running is a stack that a test has started.
type running struct {
	curls  []string // the printed command lines
	notes  *notes
	cancel context.CancelFunc
	ended  chan error
}

// notes collects the messages of the stack.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func newCommand(dir string) *dev.Command {
	return &dev.Command{
		Dir: dir, Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", DevListen: "127.0.0.1:0", CatalogListen: "127.0.0.1:0", CatalogOpsListen: "127.0.0.1:0",
		RatePerUser: 1e6, RatePerAddress: 1e6, Sample: true,
	}
}

// start runs the command until it has printed all, or ended.
func start(t *testing.T, c *dev.Command) *running {
	t.Helper()
	servicetest.MariaDB(t) // so that the test is skipped where servers are missing
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{notes: &notes{}, cancel: cancel, ended: make(chan error, 1)}
	out, in := io.Pipe()
	go func() {
		err := c.Run(ctx, &command.Console{Out: in, Err: r.notes}, slog.New(slog.DiscardHandler))
		_ = in.Close()
		r.ended <- err
	}()
	lines := bufio.NewScanner(out)
	for len(r.curls) < 3 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "curl ") {
			r.curls = append(r.curls, lines.Text())
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	t.Cleanup(cancel)
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func shell(t *testing.T, line string, answer any) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
	if err == nil {
		err = json.Unmarshal(out, answer)
	}
	if err != nil {
		t.Fatalf("%s\n%s\n%v", line, out, err)
	}
}

type stock struct {
	Redis, MySQL struct{ Avail, Held, Sold, Total int64 }
	Status       string
}

// shown runs the third command, which waits until MySQL has all events, and returns its output.
func shown(t *testing.T, line string) stock {
	t.Helper()
	var found []stock
	shell(t, line, &found)
	if len(found) != 1 || found[0].Status != "in_sync" {
		t.Fatalf("shown is %+v, want one SKU, in sync", found)
	}
	return found[0]
}

func readDevFile(t *testing.T, dir string) map[string]string {
	t.Helper()
	path := filepath.Join(dir, "dev.json")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("dev.json has mode %v, want 0600", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{}
	if err := json.Unmarshal(text, &places); err != nil {
		t.Fatal(err)
	}
	return places
}
