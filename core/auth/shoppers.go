package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"sluice/core/lifecycle"
)

// unknownPause is the least time between two requests for published keys: tokens with a made-up kid cost no more.
const unknownPause = 10 * time.Second

var (
	errShopper  = errors.New("its key signs for shoppers only")
	errSession  = errors.New("its sid is no id of a session")
	errLifetime = fmt.Errorf("its key signs for %v at most", ShopperLifetime)
)

// Shoppers are the keys that a shop publishes. A token that one of them signed is a shopper's, and lives ShopperLifetime at
// most. The set may change while verifiers use it.
type Shoppers struct {
	keys    atomic.Pointer[Keys]
	unknown chan struct{}
}

// NewShoppers makes a set without keys.
func NewShoppers() *Shoppers { return &Shoppers{unknown: make(chan struct{}, 1)} }

// Set puts other keys in the place of all.
func (s *Shoppers) Set(keys *Keys) { s.keys.Store(keys) }

// verify checks a token. If its key is not here, somebody may have a newer set: Follow is told, and the token is refused.
func (s *Shoppers) verify(text, issuer, audience string, now time.Time) (Identity, int64, error) {
	keys := s.keys.Load()
	if keys == nil {
		keys = &Keys{}
	}
	identity, expires, err := keys.verify(text, issuer, audience, now)
	switch {
	case errors.Is(err, errKeyID):
		select {
		case s.unknown <- struct{}{}:
		default:
		}
	case err == nil && identity.Role != RoleShopper:
		err = fmt.Errorf("%w: %w", ErrToken, errShopper)
	case err == nil && identity.Session == 0:
		err = fmt.Errorf("%w: %w", ErrToken, errSession)
	case err == nil && time.Unix(expires, 0).Sub(now) > ShopperLifetime+Skew:
		err = fmt.Errorf("%w: %w", ErrToken, errLifetime)
	}
	if err != nil {
		return Identity{}, 0, err
	}
	return identity, expires, nil
}

// Follow says where keys are published.
type Follow struct {
	URL     string
	File    string        // keeps the last set, so that a restarted process does not depend on the shop
	Timeout time.Duration // of one request
	Log     *slog.Logger

	transport http.RoundTripper // of tests
}

// Recall takes the keys of the file, if there is one. A file that cannot be read is passed over: the shop has the keys.
func (s *Shoppers) Recall(ctx context.Context, f Follow) {
	document, err := readBounded(f.File)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var keys *Keys
	if err == nil {
		keys, err = ParsePublished(document)
	}
	if err != nil {
		f.Log.WarnContext(ctx, "the file of the shop's published keys cannot be read: until the shop answers, its shoppers are refused", "file", f.File, "error", err)
		return
	}
	s.Set(keys)
}

// Follow asks for the keys again and again until ctx ends: now and then, and soon after a token names a key that is not here.
// While nobody answers, the keys stay as they are.
func (s *Shoppers) Follow(ctx context.Context, f Follow) {
	client := &http.Client{
		Transport: f.transport, Timeout: f.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if client.Transport == nil {
		client.Transport = &http.Transport{DisableKeepAlives: true} // and without a proxy: the environment changes nothing
	}
	trouble := lifecycle.NewTrouble(f.Log, "read the shop's published keys")
	for {
		err := s.fetch(ctx, client, f)
		if ctx.Err() != nil {
			return
		}
		trouble.Saw(err)
		if !lifecycle.Pause(ctx, unknownPause) {
			return
		}
		if err == nil && !s.await(ctx) {
			return
		}
	}
}

// await waits until the keys may be others. It reports false if ctx ends first.
func (s *Shoppers) await(ctx context.Context) bool {
	timer := time.NewTimer(publishedEvery - unknownPause)
	defer timer.Stop()
	select {
	case <-s.unknown:
		return true
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Shoppers) fetch(ctx context.Context, client *http.Client, f Follow) (err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask for keys: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask for keys: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for keys: %s answers %s", f.URL, answer.Status)
	}
	document, err := io.ReadAll(io.LimitReader(answer.Body, keyFileBytesMax+1))
	if err != nil {
		return fmt.Errorf("read published keys: %w", err)
	}
	keys, err := ParsePublished(document)
	if err != nil {
		return fmt.Errorf("read published keys of %s: %w", f.URL, err)
	}
	s.Set(keys)
	if held, err := readBounded(f.File); err == nil && bytes.Equal(held, document) {
		return nil
	}
	return replaceFile(f.File, document)
}
