package apptest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

const guideDir = "../../docs/integration"

// cutting is an edge whose answer to a write is lost the first time, though it was done.
func cutting(t *testing.T, edge *stack.Process) string {
	t.Helper()
	target, err := url.Parse("http://" + edge.Addr())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var seen sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, again := seen.LoadOrStore(r.Method+r.URL.Path+r.Header.Get("Idempotency-Key"), true); again || r.Method == http.MethodGet {
			proxy.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// guide runs each client of the guide: what it buys is bought once, whatever answers are lost.
func (i integration) guide() {
	for _, c := range []struct {
		name    string
		user    int64
		command func(t *testing.T) []string
	}{
		{"go", 501, func(t *testing.T) []string {
			t.Helper()
			binary := filepath.Join(t.TempDir(), "client")
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, guideDir).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return []string{binary}
		}},
		{"python", 502, func(t *testing.T) []string {
			t.Helper()
			return []string{servicetest.Program(t, local.FindPython), filepath.Join(guideDir, "client.py")}
		}},
		{"javascript", 503, func(t *testing.T) []string {
			t.Helper()
			return []string{servicetest.Program(t, local.FindNode), filepath.Join(guideDir, "client.mjs")}
		}},
	} {
		i.t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := guideClient{
				t: t, user: c.user, command: c.command(t),
				env:  append(os.Environ(), "SLUICE_URL="+cutting(t, i.edge), "SLUICE_TOKEN="+i.s.Token(1, "service")),
				edge: newClient(t, "http://"+i.edge.Addr()).As(i.s.Token(1, "service")),
			}
			id := g.buy("one", "1001", "2", "confirmed")
			if again := g.buy("one", "1001", "2", "confirmed"); again != id {
				t.Errorf("the same order bought %s, and then %s", id, again)
			}
			g.buy("many", "1002", "1", "sold_out")
			g.buy("one", "1001", "3", "mismatch")
			g.env = append(g.env, "PAYMENT=declined")
			g.buy("two", "1001", "2", "payment declined")
			g.expect("two", client.StateReleased)
			g.buy("two", "1001", "2", "the units are gone")
			g.env = append(g.env, "SLUICE_TOKEN=x")
			g.buy("three", "1001", "2", "unauthorized")
		})
	}
}

type guideClient struct {
	t       *testing.T
	user    int64
	command []string
	env     []string
	edge    *client.Client
}

// buy runs the client once, and returns the reservation that it printed.
func (g *guideClient) buy(order, sku, quantity, want string) string {
	g.t.Helper()
	args := slices.Concat(g.command, []string{order, strconv.FormatInt(g.user, 10), sku, quantity})
	cmd := exec.CommandContext(g.t.Context(), args[0], args[1:]...)
	cmd.Env = g.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if want != "confirmed" {
		if err == nil || out.Len() != 0 || !strings.Contains(errs.String(), want) || strings.Count(errs.String(), "\n") != 1 {
			g.t.Errorf("order %s: %v, printed %s%s, want one line that says %s", order, err, &out, &errs, want)
		}
		return ""
	}
	said := regexp.MustCompile(`^confirmed ([0-9a-f]{32})\n$`).FindStringSubmatch(out.String())
	if err != nil || said == nil {
		g.t.Fatalf("order %s: %v, printed %s%s, want it confirmed", order, err, &out, &errs)
	}
	r, err := g.edge.Reservation(g.t.Context(), said[1])
	if err != nil || r.State != client.StateConfirmed {
		g.t.Errorf("order %s: the edge says %+v, %v", order, r, err)
	}
	return said[1]
}

// expect holds an order's reservation, which nobody printed, to its state.
func (g *guideClient) expect(order string, want client.State) {
	g.t.Helper()
	r, err := g.edge.Reserve(g.t.Context(), client.Take{SKU: 1001, Quantity: 2, User: g.user, Key: order})
	if err != nil || !r.Replayed || r.State != want {
		g.t.Errorf("order %s: %+v, %v, want it %s", order, r, err, want)
	}
}
