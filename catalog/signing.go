package catalog

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"sluice/core/auth"
	"sluice/core/lifecycle"
)

// signingPause is the time between two looks at the file of signing keys, which a command rotates.
const signingPause = 10 * time.Second

// signing signs the tokens of shoppers, with the keys of a file that may change. What it signs, it also verifies.
type signing struct {
	path             string
	issuer, audience string
	shoppers         *auth.Shoppers

	ring atomic.Pointer[auth.Ring]
	keys atomic.Pointer[auth.Keys]
}

func openSigning(path, issuer, audience string) (*signing, error) {
	s := &signing{path: path, issuer: issuer, audience: audience, shoppers: auth.NewShoppers()}
	err := s.read()
	return s, err
}

// read takes the keys of the file.
func (s *signing) read() error {
	ring, err := auth.ReadRing(s.path)
	if err != nil {
		return err
	}
	keys, err := ring.Keys()
	if err != nil {
		return err
	}
	s.ring.Store(&ring)
	s.keys.Store(keys)
	s.shoppers.Set(keys)
	return nil
}

// run takes the keys of the file again and again. While it cannot be read, they stay as they are.
func (s *signing) run(ctx context.Context, log *slog.Logger) {
	lifecycle.Repeat(ctx, log, "read the signing keys", signingPause, func(context.Context) error { return s.read() })
}

// Issue implements account.Signer.
func (s *signing) Issue(c auth.Claims) (string, error) {
	c.Issuer, c.Audience = s.issuer, s.audience
	return s.keys.Load().Issue(c)
}

// Published implements account.Signer.
func (s *signing) Published() []auth.PublishedKey { return s.ring.Load().Published() }
