package config

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// A client trusts the authorities of the file and nobody else.
func TestTLSTrustsTheFile(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting, err := ClientTLS("tls-ca-file", file)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), trusting)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	conn, err = tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{})
	if err == nil {
		_ = conn.Close()
		t.Error("the server is trusted without the file")
	}
}
