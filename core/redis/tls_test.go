package redis_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/core/config"
	"sluice/core/redis"
)

// With a CA in the settings everything goes through TLS, to a server with a certificate of that CA and to no other: neither
// the password nor a command is sent in clear.
func TestClientSpeaksTLSOnly(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil)
	t.Cleanup(certified.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var heard atomic.Bool
	answer := func([]string) string {
		heard.Store(true)
		return "$4\r\ngood\r\n"
	}
	with := hostileAt(t, tls.NewListener(listen(t), &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}), answer)
	cfg := func(addr string) *redis.Config {
		return &redis.Config{Addrs: []string{addr}, User: "shop", Password: config.Secret("hunter2"), TLSCAFile: ca}
	}
	client, err := cfg(with).Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if text, err := client.Do(t.Context(), client.B().Get().Key("k").Build()).ToString(); err != nil || text != "good" {
		t.Errorf("%q, %v", text, err)
	}

	heard.Store(false)
	without := hostile(t, answer)
	if client, err := cfg(without).Client(); err == nil {
		client.Close()
		t.Error("it speaks to a server without TLS")
	}
	other := cfg(with)
	other.Addrs[0] = strings.Replace(with, "127.0.0.1", "localhost", 1) // the certificate has no such name
	if client, err := other.Client(); err == nil {
		client.Close()
		t.Error("it speaks to a server with the certificate of another one")
	}
	if heard.Load() {
		t.Error("a server whose certificate is not the right one has heard a command")
	}
}
