// Package proxy runs the proxies of deploy/proxy in front of two servers, and asks them for every path of both.
package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"go.uber.org/goleak"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/edge/front"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// upstream answers with its name, and how it was asked.
func upstream(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		_, _ = fmt.Fprintf(w, "%s %s %s for %s", name, r.Method, r.RequestURI, r.Header.Get("X-Forwarded-For"))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// configured is a configuration of deploy/proxy with other addresses.
func configured(t *testing.T, file, listen, edge, catalog string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/proxy/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"127.0.0.1:8000": listen, "127.0.0.1:8080": edge, "127.0.0.1:8081": catalog} {
		if strings.Count(string(text), from) != 1 {
			t.Fatalf("%s has not one %s", file, from)
		}
		text = []byte(strings.Replace(string(text), from, to, 1))
	}
	path := filepath.Join(t.TempDir(), file)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func free(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a proxy until the test ends, and waits until it answers.
func start(t *testing.T, listen string, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listen)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, out.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", program)
		}
	}
}

// paths are the operations of an API document, as requests.
func paths(t *testing.T, document string) (all []string) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/api/" + document)
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			all = append(all, method+" "+regexp.MustCompile(`{[a-z_]+}`).ReplaceAllString(path, "prd_0000000000013"))
		}
	}
	return all
}

// Each proxy sends to edges what edges answer, and all else to the catalog, as it was sent.
func TestProxiesRouteEachPath(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, request := range paths(t, "catalog.yaml") {
		want[request] = "catalog"
	}
	for _, request := range paths(t, "openapi.yaml") {
		want[request] = "edge"
	}
	for _, route := range front.Routes() {
		path := regexp.MustCompile(`{[a-z_]+}`).ReplaceAllString(route.Path, "prd_0000000000013")
		if want["GET "+path] != "catalog" {
			t.Fatalf("%s is no reading of the catalog", path)
		}
		want["GET "+path], want["GET "+path+"?limit=1"] = "edge", "edge"
		want["OPTIONS "+path] = "edge"
	}
	want["GET /.well-known/jwks.json"] = "catalog"
	want["GET /v1/products/a%2Fb"] = ""
	for _, proxy := range []struct {
		name, file string
		find       func() (string, error)
		args       func(file string) []string
	}{
		{"nginx", "nginx.conf", local.FindNginx, func(file string) []string {
			return []string{"-p", filepath.Dir(file), "-e", "stderr", "-c", file, "-g", "daemon off;"}
		}},
		{"haproxy", "haproxy.cfg", local.FindHAProxy, func(file string) []string { return []string{"-db", "-f", file} }},
	} {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			program := servicetest.Program(t, proxy.find)
			listen := free(t)
			start(t, listen, program, proxy.args(configured(t, proxy.file, listen, upstream(t, "edge"), upstream(t, "catalog")))...)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for request, to := range want {
				method, path, _ := strings.Cut(request, " ")
				r, err := http.NewRequestWithContext(t.Context(), method, "http://"+listen+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Forwarded-For", "203.0.113.7") // what a client says of itself
				got, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(got.Body)
				_ = got.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				server, line, _ := strings.Cut(string(body), " ")
				if line != request+" for 127.0.0.1" || to != "" && server != to {
					t.Errorf("%s reaches %q, want %s", request, body, to)
				}
				if got.Header.Get("Vary") != "Origin" {
					t.Errorf("%s: the answer lacks a header: %v", request, got.Header)
				}
			}
		})
	}
}
