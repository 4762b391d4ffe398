package redis_test

import (
	"path/filepath"
	"strings"
	"testing"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
)

// withSocket starts a Redis that also listens on a Unix socket, and returns its URL.
func withSocket(t testing.TB) (server *local.Redis, url string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	return servicetest.RedisWith(t, local.RedisOptions{Extra: []string{"unixsocket " + path}}), "unix://" + path
}

func TestClientConnectsToASocket(t *testing.T) {
	t.Parallel()
	server, url := withSocket(t)
	client, err := (&redis.Config{Addrs: []string{url}}).Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	info, err := client.Do(t.Context(), client.B().Info().Section("server").Build()).ToString()
	if _, port, _ := strings.Cut(server.Addr, ":"); err != nil || !strings.Contains(info, "tcp_port:"+port+"\r\n") {
		t.Errorf("connected to %q, %v, want the server with port %s", info, err, port)
	}
	list, err := client.Do(t.Context(), client.B().ClientList().Build()).ToString()
	if err != nil || !strings.Contains(list, strings.TrimPrefix(url, "unix://")+":0") {
		t.Errorf("no connection by the socket in %q, %v", list, err)
	}
}

func TestSocketsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  redis.Config
		want string // part of the fault
	}{
		"beside an address": {redis.Config{Addrs: []string{"unix:///run/redis.sock", "a:1"}}, "one unix:///path"},
		"a relative path":   {redis.Config{Addrs: []string{"unix://run/redis.sock"}}, "from the root"},
		"no path":           {redis.Config{Addrs: []string{"unix://"}}, "from the root"},
		"with TLS":          {redis.Config{Addrs: []string{"unix:///run/redis.sock"}, TLSCAFile: "/nowhere"}, "speaks no TLS"},
		"a path alone":      {redis.Config{Addrs: []string{"/run/redis.sock"}}, "host:port"},
		"sane":              {redis.Config{Addrs: []string{"unix:///run/redis.sock"}}, ""},
	} {
		tc.cfg.CallTimeout = 1e9
		err := tc.cfg.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
