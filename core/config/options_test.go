package config

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Whatever a DSN asks for, the options are the safe ones.
func TestOptionsOverruleTheDSN(t *testing.T) {
	t.Parallel()
	m := MySQL{Timeout: 7 * time.Second, DSN: "root:x@tcp(localhost)/sluice?multiStatements=true&allowAllFiles=true" +
		"&allowCleartextPasswords=true&allowOldPasswords=true&allowFallbackToPlaintext=true&clientFoundRows=true" +
		"&parseTime=false&rejectReadOnly=false&checkConnLiveness=false&timeout=1h&readTimeout=1h&writeTimeout=1h&loc=Local&maxAllowedPacket=1"}
	c, err := m.options()
	if err != nil {
		t.Fatal(err)
	}
	if c.MultiStatements || c.AllowAllFiles || c.AllowCleartextPasswords || c.AllowOldPasswords || c.AllowFallbackToPlaintext || c.ClientFoundRows {
		t.Errorf("an unsafe option is on: %+v", c.FormatDSN())
	}
	if !c.ParseTime || !c.RejectReadOnly || !c.CheckConnLiveness || c.Loc != time.UTC || c.MaxAllowedPacket != 0 {
		t.Errorf("a safe option is off: %+v", c.FormatDSN())
	}
	if c.Timeout != dialTimeout || c.ReadTimeout != m.Timeout || c.WriteTimeout != m.Timeout {
		t.Errorf("timeouts %v %v %v", c.Timeout, c.ReadTimeout, c.WriteTimeout)
	}
}

// TestSentinelOptions holds the options for Sentinels to their own credentials, and to bounds without which a
// client waits long for who is away.
func TestSentinelOptions(t *testing.T) {
	t.Parallel()
	r := Redis{
		SentinelAddrs: []string{"s:1", "s:2"}, SentinelMaster: "stock", SentinelUser: "watcher", SentinelPassword: "w",
		User: "shop", Password: "p", CallTimeout: 300 * time.Millisecond,
	}
	o, err := r.options()
	if err != nil {
		t.Fatal(err)
	}
	if s := o.Sentinel; len(o.InitAddress) != 2 || s.MasterSet != "stock" || s.Username != "watcher" || s.Password != "w" || o.Username != "shop" || o.Password != "p" {
		t.Errorf("options are %+v", o)
	}
	if s := o.Sentinel; s.TopologyRefreshInterval != time.Second || s.Dialer.Timeout != time.Second || s.Dialer.KeepAlive != time.Second || o.ConnWriteTimeout != hangMax {
		t.Errorf("bounds are %v, %v, %v and %v", s.TopologyRefreshInterval, s.Dialer.Timeout, s.Dialer.KeepAlive, o.ConnWriteTimeout)
	}
	r.CallTimeout = 10 * time.Second
	if o, err = r.options(); err != nil || o.ConnWriteTimeout != r.CallTimeout {
		t.Errorf("a server may be silent for %v (%v) where a call may take %v", o.ConnWriteTimeout, err, r.CallTimeout)
	}
}

// Both clients trust the authorities of the file and nobody else.
func TestTLSTrustsTheFile(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	redis, err := (&Redis{Addrs: []string{"localhost:1"}, TLSCAFile: file}).options()
	if err != nil {
		t.Fatal(err)
	}
	mysql, err := MySQL{DSN: "root@tcp(localhost)/sluice?tls=false", TLSCAFile: file}.options()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*tls.Config{"redis": redis.TLSConfig, "mysql": mysql.TLS} {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = conn.Close()
	}
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{})
	if err == nil {
		_ = conn.Close()
		t.Error("the server is trusted without the file")
	}
}
