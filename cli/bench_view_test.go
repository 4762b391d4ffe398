package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/cli/command"
)

// standInEdge sells SKU 1 to everybody.
func standInEdge(t *testing.T) string {
	t.Helper()
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, answer := http.StatusOK, `{"sku_id":"1","avail":5000,"as_of":"2026-01-02T03:04:05.000Z"}`
		if r.Method == http.MethodPost {
			status, answer = http.StatusCreated, `{"reservation_id":"r","state":"held"}`
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(edge.Close)
	return edge.URL
}

// A run is shown by a view on a terminal and leaves a page; the next one is compared with it, also on its page. A run of
// another plan is refused before anything is sent.
func TestBenchShowsAndComparesARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("tokens"), []byte("a.b.c\nd.e.f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := []string{
		"bench", "--addr=" + standInEdge(t), "--dev-file=" + path("none"), "--sku=1", "--users=2", "--tokens=" + path("tokens"), "--no-truth",
		"--rate=20", "--for=2s",
	}
	run := func(terminal bool, code int, args ...string) *output {
		t.Helper()
		o := new(output)
		console := o.console()
		console.ErrIsTerminal = terminal
		got := Run(append(append([]string{}, fine...), args...), console)
		if got != code && (code != command.ExitDone || got != 12) { // a busy machine may send late
			t.Errorf("%q: exit code %d: %s", args, got, o.err.String())
		}
		return o
	}
	const redraw = "\r\x1b[J"
	first := run(true, command.ExitDone, "--report="+path("old.json"), "--html="+path("old.html"))
	if said := first.err.String(); strings.Count(said, redraw) < 5 || !strings.Contains(said, "last second") || !strings.Contains(said, "stock left") {
		t.Errorf("the view on a terminal: %q", said)
	}
	second := run(false, command.ExitDone, "--against="+path("old.json"), "--html="+path("new.html"))
	if said := second.err.String(); strings.Contains(said, "\x1b") {
		t.Errorf("terminal codes in a log: %q", said)
	}
	if !strings.Contains(second.out.String(), "SO THE NEW ONE IS") {
		t.Errorf("no comparison in %s", second.out.String())
	}
	for name, compared := range map[string]bool{"old.html": false, "new.html": true} {
		text, err := os.ReadFile(path(name))
		if err != nil || !strings.Contains(string(text), `id="distribution"`) || strings.Contains(string(text), `id="against"`) != compared {
			t.Errorf("%s: %v, %d bytes", name, err, len(text))
		}
	}
	for args, want := range map[string]string{
		"--against=" + path("old.json") + " --bots=0.5": "bots: 0.5, was 0",
		"--against=" + path("tokens"):                   path("tokens"),
		"--against=" + path("old.json") + " -o json":    "sluice bench against OLD NEW -o json",
		"--html=" + path("none") + "/x.html":            "html: ",
	} {
		if o := run(false, command.ExitUsage, strings.Fields(args)...); !strings.Contains(o.err.String(), want) || o.out.String() != "" {
			t.Errorf("%s: %s, want %q", args, o.err.String(), want)
		}
	}
}
