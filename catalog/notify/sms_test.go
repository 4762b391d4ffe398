package notify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sluice/core/config"
)

const secretOfTests = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"

// aGateway is a gateway for short messages.
type aGateway struct {
	*httptest.Server

	mu   sync.Mutex
	reqs []*http.Request
	act  http.HandlerFunc
}

func newGateway(t *testing.T) *aGateway {
	t.Helper()
	g := &aGateway{act: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		g.mu.Lock()
		g.reqs = append(g.reqs, r)
		act := g.act
		g.mu.Unlock()
		act(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *aGateway) got() []*http.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.reqs)
}

func gatewayConfig(address string) Config {
	return Config{
		Shop: "Shop", SMTPTLS: tlsStart, Timeout: 10 * time.Second,
		Webhook: config.Secret(address), WebhookSecret: secretOfTests + "\nwhsec_QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC", WebhookNetworks: []string{"127.0.0.0/8"},
	}
}

func gatewayOf(t *testing.T, c Config) Sender {
	t.Helper()
	return senderOf(t, c, SMS)
}

func theShortLetter(t *testing.T) Letter {
	t.Helper()
	letter, err := load(t, "").Letter(theCode("one"))
	if err != nil {
		t.Fatal(err)
	}
	return letter
}

// A gateway can know by either secret that a message is the shop's.
func TestGatewayGetsSignedMessages(t *testing.T) {
	t.Parallel()
	server := newGateway(t)
	letter := theShortLetter(t)
	if err := gatewayOf(t, gatewayConfig(server.URL)).Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	got := server.got()
	if len(got) != 1 || got[0].Method != http.MethodPost || got[0].Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%+v", got)
	}
	body, _ := io.ReadAll(got[0].Body)
	for secret, want := range map[string]bool{secretOfTests: true, "whsec_QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC": true, "whsec_Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0ND": false} {
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(body, got[0].Header); (err == nil) != want {
			t.Errorf("%s: %v", secret, err)
		}
	}
	var said posted
	if err := json.Unmarshal(body, &said, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	want := postedData{letter.ID, SMS, "sign_in_code", "de", "+4915100077777", letter.Text}
	if said.Type != "message.send" || said.Data != want || time.Since(said.Timestamp).Abs() > time.Minute || got[0].Header.Get("Webhook-Id") != letter.ID {
		t.Errorf("the gateway got %s", body)
	}
}

func TestGatewaysFail(t *testing.T) {
	t.Parallel()
	elsewhere := newGateway(t)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "no such +4915100077777")
		}
	}
	for name, c := range map[string]struct {
		act  http.HandlerFunc
		want Failure // without a reason: success
	}{
		"204":       {status(204), Failure{}},
		"400":       {status(400), Failure{Final, "the receiver answered 400"}},
		"422":       {status(422), Failure{Final, "the receiver answered 422"}},
		"410":       {status(410), Failure{Unreachable, "the receiver answered 410"}},
		"401":       {status(401), Failure{Unreachable, "the receiver answered 401"}},
		"404":       {status(404), Failure{Unreachable, "the receiver answered 404"}},
		"429":       {status(429), Failure{PutOff, "the receiver answered 429"}},
		"503":       {status(503), Failure{PutOff, "the receiver answered 503"}},
		"redirects": {http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP, Failure{Unreachable, "the receiver answered 307, and redirects are not followed"}},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = io.WriteString(conn, "+4915100077777 is garbage\r\n\r\n")
			_ = conn.Close()
		}, Failure{Unknown, "the gateway did not answer"}},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for range 10_000 {
				if _, err := io.WriteString(conn, "X-Header: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					break
				}
			}
			_ = conn.Close()
		}, Failure{Unknown, "the gateway did not answer"}},
		"endless body": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, Failure{}},
		"closes": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}, Failure{Unknown, "the gateway did not answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newGateway(t)
			server.act = c.act
			err := gatewayOf(t, gatewayConfig(server.URL)).Send(t.Context(), theShortLetter(t))
			failure := new(Failure)
			if c.want.Reason == "" {
				if err != nil {
					t.Error(err)
				}
			} else if !errors.As(err, &failure) || *failure != c.want {
				t.Errorf("%v, want %v", err, &c.want)
			}
		})
	}
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		server := newGateway(t)
		server.act = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		cfg := gatewayConfig(server.URL)
		cfg.Timeout = 200 * time.Millisecond
		failure := new(Failure)
		if err := gatewayOf(t, cfg).Send(t.Context(), theShortLetter(t)); !errors.As(err, &failure) || failure.Reason != Unknown {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := gatewayOf(t, gatewayConfig(server.URL)).Send(ctx, theShortLetter(t)); !errors.As(err, &failure) || failure.Reason != Unknown {
			t.Error(err)
		}
	})
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		failure := new(Failure)
		if err := gatewayOf(t, gatewayConfig("http://"+listener.Addr().String())).Send(t.Context(), theShortLetter(t)); !errors.As(err, &failure) || *failure != (Failure{Unreachable, "there is no connection to the gateway"}) {
			t.Error(err)
		}
	})
	t.Run("private", func(t *testing.T) {
		t.Parallel()
		server := newGateway(t)
		cfg := gatewayConfig(server.URL)
		cfg.WebhookNetworks = []string{"10.0.0.0/8"}
		cfg.Webhook = config.Secret(strings.Replace(server.URL, "http://127.0.0.1", "https://localhost", 1))
		failure := new(Failure)
		if err := gatewayOf(t, cfg).Send(t.Context(), theShortLetter(t)); !errors.As(err, &failure) ||
			*failure != (Failure{Unreachable, "the gateway is in no public network, and in none of --messages-webhook-networks"}) || len(server.got()) > 0 {
			t.Error(err)
		}
	})
	if got := elsewhere.got(); len(got) > 0 {
		t.Errorf("a redirect was followed: %+v", got)
	}
}

func TestInbox(t *testing.T) {
	t.Parallel()
	inbox := new(Inbox)
	letter := theShortLetter(t)
	for i := range inboxMax + 10 {
		letter.ID, letter.To, letter.Text = strings.Repeat("x", i+1), "+4915100077777", "<b>code</b>"
		if i == inboxMax {
			letter.To = "+4915100088888"
		}
		for range 2 {
			if err := inbox.Send(t.Context(), letter); err != nil {
				t.Fatal(err)
			}
		}
	}
	show := func(query, accept string) string {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/messages"+query, http.NoBody)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		inbox.ServeHTTP(w, r)
		return w.Body.String()
	}
	var kept []Kept
	if err := json.Unmarshal([]byte(show("", "*/*")), &kept); err != nil || len(kept) != inboxMax || len(kept[0].ID) != inboxMax+10 || kept[0].Text != "<b>code</b>" {
		t.Errorf("%d letters, %v", len(kept), err)
	}
	if err := json.Unmarshal([]byte(show("?to=%2B4915100088888", "*/*")), &kept); err != nil || len(kept) != 1 || kept[0].To != "+4915100088888" {
		t.Errorf("%+v, %v", kept, err)
	}
	if page := show("?to=%2B4915100088888", "text/html,*/*"); strings.Contains(page, "<b>") || !strings.Contains(page, "&lt;b&gt;code") || !strings.Contains(page, "&#43;4915100088888") {
		t.Errorf("the page is %s", page)
	}
	if page := show("?to=nobody", "text/html"); !strings.Contains(page, "None yet.") {
		t.Errorf("the page is %s", page)
	}
}
