package auth

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/ids"
)

// shop publishes what it is told to, by a transport that needs no network.
type shop struct {
	asked chan time.Time

	mu     sync.Mutex
	answer func(w http.ResponseWriter)
}

func (s *shop) answers(with func(w http.ResponseWriter)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = with
}

// RoundTrip implements http.RoundTripper.
func (s *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "shop.example" {
		return nil, io.ErrUnexpectedEOF
	}
	w := httptest.NewRecorder()
	s.mu.Lock()
	s.answer(w)
	s.mu.Unlock()
	s.asked <- time.Now()
	return w.Result(), nil
}

// Keys are asked for now and then; after an unknown key soon, but not at once, however many tokens name one.
func TestKeysAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ring := newRing(t)
	next, err := ring.Rotate(noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	documents := [][]byte{published(t, ring), published(t, next)}
	stranger := newRing(t)
	synctest.Test(t, func(t *testing.T) {
		at := &shop{asked: make(chan time.Time), answer: func(w http.ResponseWriter) { _, _ = w.Write(documents[0]) }}
		shoppers := NewShoppers()
		v := shopVerifier(t, shoppers)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		follow := Follow{URL: "https://shop.example/keys", File: filepath.Join(dir, "keys.json"), Timeout: time.Second, Log: slog.New(slog.DiscardHandler), transport: at}
		began := time.Now()
		go func() {
			defer close(ended)
			shoppers.Follow(ctx, follow)
		}()
		asked := func(want time.Duration) {
			t.Helper()
			if got := (<-at.asked).Sub(began); got != want {
				t.Errorf("asked after %v, want %v", got, want)
			}
			synctest.Wait()
		}
		asked(0)
		claims := shopperClaims()
		claims.NotBefore, claims.Expires = began, began.Add(ShopperLifetime)
		if _, err := v.Verify([]byte(issue(t, ring, claims)), began); err != nil {
			t.Errorf("after the first answer: %v", err)
		}
		for range 100 { // nobody makes the edge ask more often by made-up keys
			_, _ = v.Verify([]byte(issue(t, stranger, claims)), began)
		}
		asked(10 * time.Second)
		asked(10*time.Second + 5*time.Minute)
		at.answers(func(w http.ResponseWriter) { w.WriteHeader(http.StatusFound) })
		_, _ = v.Verify([]byte(issue(t, stranger, claims)), began)
		asked(5*time.Minute + 20*time.Second)
		asked(5*time.Minute + 30*time.Second) // a failure is repeated
		if _, err := v.Verify([]byte(issue(t, ring, claims)), began); err != nil {
			t.Errorf("while the shop fails: %v", err)
		}
		at.answers(func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat(" ", 1<<20))) })
		asked(5*time.Minute + 40*time.Second)
		at.answers(func(w http.ResponseWriter) { _, _ = w.Write(documents[1]) })
		asked(5*time.Minute + 50*time.Second)
		if _, err := v.Verify([]byte(issue(t, next, claims)), began); err != nil {
			t.Errorf("after a rotation: %v", err)
		}
		cancel()
		<-ended

		again := NewShoppers() // a process that restarts
		again.Recall(t.Context(), follow)
		if _, err := shopVerifier(t, again).Verify([]byte(issue(t, next, claims)), began); err != nil {
			t.Errorf("from the file: %v", err)
		}
	})
}

// A file that is damaged is passed over.
func TestKeysOfADamagedFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	shoppers := NewShoppers()
	shoppers.Recall(t.Context(), Follow{File: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if shoppers.keys.Load() != nil || !strings.Contains(log.String(), "cannot be read") {
		t.Errorf("%v, logged %s", shoppers.keys.Load(), log.String())
	}
}

// The tokens of a session that has ended are refused at once, remembered ones too, and the session is forgotten after them.
func TestSessionsThatEnded(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	keys, err := ParsePublished(published(t, ring))
	if err != nil {
		t.Fatal(err)
	}
	shoppers := NewShoppers()
	shoppers.Set(keys)
	v := shopVerifier(t, shoppers)
	token := []byte(issue(t, ring, shopperClaims()))
	if _, err := v.Verify(token, noon); err != nil {
		t.Fatal(err)
	}
	v.cfg.Ended.Add(8, noon)
	if _, ok := v.Cached(token, noon); !ok {
		t.Error("another session's end")
	}
	v.cfg.Ended.Add(7, noon)
	if _, ok := v.Cached(token, noon); ok {
		t.Error("remembered after the session's end")
	}
	if _, err := v.Verify(token, noon); err == nil || !strings.Contains(err.Error(), "its session has ended") {
		t.Errorf("after the session's end: %v", err)
	}
}

func TestEndedSessionsAreBounded(t *testing.T) {
	t.Parallel()
	e, now := NewEnded(), noon
	var none *Ended
	if none.Has(7, noon) || e.Has(0, noon) {
		t.Error("what has not ended")
	}
	for i := range ids.Session(100) {
		now = now.Add(30 * time.Second)
		e.Add(i+1, now)
		for j := range i + 1 {
			if at := noon.Add(time.Duration(j+1) * 30 * time.Second); now.Sub(at) < EndedFor && !e.Has(j+1, now) {
				t.Fatalf("session %d is forgotten after %v", j+1, now.Sub(at))
			}
		}
	}
	if n := len(e.young) + len(e.old); n > 2*int(EndedFor/(30*time.Second))+2 {
		t.Errorf("%d are remembered", n)
	}
	now = now.Add(3 * EndedFor)
	if e.Has(100, now) || len(e.young)+len(e.old) > 0 || e.any.Load() {
		t.Errorf("long after the last one: %d and %d", len(e.young), len(e.old))
	}
	for i := range ids.Session(3*endedMax + 1) {
		e.Add(i+1, now)
	}
	if n := len(e.young) + len(e.old); n > 2*endedMax {
		t.Errorf("%d at once are remembered", n)
	}
}
