package webhook_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"sluice/catalog/internal/webhook"
	"sluice/core/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = log.New(io.Discard, "", 0)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newSender(t *testing.T, cfg webhook.Config) *webhook.Sender {
	t.Helper()
	s := webhook.NewSender(cfg)
	t.Cleanup(s.Close)
	return s
}

func serve(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

func message(to string, secrets ...config.Secret) webhook.Message {
	return webhook.Message{URL: to, ID: "evt_0000000000011", At: time.Now(), Body: []byte(`{"type":"x"}`), Secrets: secrets}
}

// TestReceiversVerifyWhatIsSent has a receiver with the reference library of the standard, for each of two secrets that
// follow each other.
func TestReceiversVerifyWhatIsSent(t *testing.T) {
	t.Parallel()
	before, after := webhook.NewSecret(), webhook.NewSecret()
	stranger := webhook.NewSecret()
	var verified atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for secret, known := range map[config.Secret]bool{before: true, after: true, stranger: false} {
			verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if err := verifier.Verify(body, r.Header); (err == nil) != known {
				t.Errorf("a receiver with a secret that is known (%v): %v", known, err)
			}
			if err := verifier.Verify(append(body, ' '), r.Header); err == nil {
				t.Error("a changed body was verified")
			}
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Webhook-Id") != "evt_0000000000011" {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
		verified.Add(1)
		w.WriteHeader(http.StatusAccepted)
	})
	s := newSender(t, webhook.Config{Networks: loopback})
	for range 3 {
		if err := s.Send(t.Context(), message(server.URL+"/hooks?token=t", before, after)); err != nil {
			t.Fatal(err)
		}
	}
	if verified.Load() != 3 {
		t.Errorf("%d messages came, want 3", verified.Load())
	}
}

func TestAnswersOfReceivers(t *testing.T) {
	t.Parallel()
	s := newSender(t, webhook.Config{Networks: loopback})
	var elsewhere atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for status, want := range map[int]string{
		200: "", 201: "", 202: "", 204: "", 299: "",
		301: "answered 301", 302: "answered 302", 307: "answered 307", 308: "answered 308",
		400: "answered 400", 404: "answered 404", 410: "wants no more", 429: "answered 429", 500: "answered 500", 503: "answered 503",
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			}
		})
		err := s.Send(t.Context(), message(server.URL, webhook.NewSecret()))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || errors.Is(err, webhook.ErrGone) != (status == 410) {
			t.Errorf("%d: %v", status, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestErrorsHaveNoSecrets: a URL may have a token of the receiver.
func TestErrorsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	away := serve(t, nil)
	away.Close()
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	s := newSender(t, webhook.Config{Networks: loopback, Timeout: 100 * time.Millisecond})
	public := newSender(t, webhook.Config{})
	secret := webhook.NewSecret()
	for name, err := range map[string]error{
		"away":        s.Send(t.Context(), message(away.URL+"/hunter2?hunter2", secret)),
		"silent":      s.Send(t.Context(), message(silent.URL+"/hunter2?hunter2", secret)),
		"private":     public.Send(t.Context(), message("https://localhost/hunter2?hunter2", secret)),
		"no URL":      s.Send(t.Context(), message("http://hunter2\x7f", secret)),
		"no secret":   s.Send(t.Context(), message(away.URL, "whsec_hunter2")),
		"its secret":  webhook.CheckSecret("hunter2"),
		"without one": s.Send(t.Context(), message(away.URL)),
	} {
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v", message("", secret), message("", secret), message("", secret)); strings.Contains(shown, "whsec_") {
		t.Errorf("a message is shown as %s", shown)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	if one, other := webhook.NewSecret(), webhook.NewSecret(); one == other {
		t.Error("two secrets are equal")
	}
	for secret, good := range map[string]bool{
		webhook.NewSecret().Reveal():              true,
		"whsec_" + strings.Repeat("A", 32):        true, // 24 bytes
		"whsec_" + strings.Repeat("A", 86) + "==": true, // 64
		"whsec_" + strings.Repeat("A", 28):        false,
		"whsec_" + strings.Repeat("A", 88):        false,
		strings.Repeat("A", 32):                   false,
		"WHSEC_" + strings.Repeat("A", 32):        false,
		"whsec_" + strings.Repeat("A", 31) + "\n": false,
		"whsec_" + strings.Repeat("A", 32) + "\n": false,
		"whsec_" + strings.Repeat("A", 31) + "-":  false,
		"whsec_" + strings.Repeat("A", 42) + "B=": false, // bits behind the last byte
		"":                                       false,
		"whsec_":                                 false,
		"whpk_" + strings.Repeat("A", 32):        false,
		"whsec_whsec_" + strings.Repeat("A", 32): false,
		"whsec_ " + strings.Repeat("A", 32) + "AA": false,
	} {
		if err := webhook.CheckSecret(config.Secret(secret)); (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		}
	}
}

// TestOnlyTrustedCertificates: the address is right, and who answers is somebody else.
func TestOnlyTrustedCertificates(t *testing.T) {
	t.Parallel()
	var came atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	if err := newSender(t, webhook.Config{Networks: loopback}).Send(t.Context(), message(server.URL, webhook.NewSecret())); err == nil || came.Load() != 0 {
		t.Errorf("sent to a stranger: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if err := newSender(t, webhook.Config{Networks: loopback, Roots: roots}).Send(t.Context(), message(server.URL, webhook.NewSecret())); err != nil || came.Load() != 1 {
		t.Errorf("to one who is known: %v", err)
	}
}

// TestNamesOfPrivateAddresses has names that only resolving tells: they pass the check of the URL, and no connection is made.
func TestNamesOfPrivateAddresses(t *testing.T) {
	t.Parallel()
	var came atomic.Int64
	server := serve(t, func(http.ResponseWriter, *http.Request) { came.Add(1) })
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	public := newSender(t, webhook.Config{Timeout: 5 * time.Second})
	other := newSender(t, webhook.Config{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Timeout: 5 * time.Second})
	for _, url := range []string{"https://localhost" + port} {
		if err := public.Check(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if err := public.Send(t.Context(), message(url, webhook.NewSecret())); !errors.Is(err, webhook.ErrAddress) {
			t.Errorf("%s: %v", url, err)
		}
	}
	// Without TLS not even a public address is reached: only the networks of the shop are.
	for _, url := range []string{"http://localhost" + port, "http://127.0.0.1" + port} {
		if err := other.Send(t.Context(), message(url, webhook.NewSecret())); !errors.Is(err, webhook.ErrAddress) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if err := other.Send(t.Context(), message("http://93.184.215.14/", webhook.NewSecret())); !errors.Is(err, webhook.ErrAddress) {
		t.Errorf("a public address without TLS: %v", err)
	}
	if came.Load() != 0 {
		t.Errorf("%d requests came to a private address", came.Load())
	}
}
