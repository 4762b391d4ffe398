package catalog

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"sluice/core/auth"
	"sluice/core/client"
	"sluice/core/config"
)

// EdgeConfig says where the shop reaches the edge.
type EdgeConfig struct {
	URL string `name:"edge-url" env:"SLUICE_EDGE_URL" group:"Catalog" placeholder:"URL"`
}

// Texts are those of the group.
func (EdgeConfig) Texts() config.Texts { return texts }

// Check reports what is wrong with the settings.
func (c EdgeConfig) Check() error {
	if c.URL == "" {
		return nil
	}
	_, err := client.New(client.Config{URL: c.URL})
	return err
}

// shopUser is who the shop is to the edge. It never changes, because keys of writes belong to a user.
const shopUser = math.MaxInt64

// tokenLife is how long a token of the shop is good. A new one is made at half of it.
const tokenLife = 10 * time.Minute

// shopTokens are the tokens by which the shop changes stock at the edge.
type shopTokens struct {
	keys             *auth.Keys
	issuer, audience string

	mu    sync.Mutex
	token string
	until time.Time
}

func (t *shopTokens) get(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.until) {
		return t.token, nil
	}
	token, err := t.keys.Issue(auth.Claims{
		Identity: auth.Identity{Subject: shopUser, Role: auth.RoleAdmin}, Issuer: t.issuer, Audience: t.audience,
		NotBefore: now.Add(-time.Minute), Expires: now.Add(tokenLife),
	})
	if err != nil {
		return "", err
	}
	t.token, t.until = token, now.Add(tokenLife/2)
	return token, nil
}

// openEdge makes the client of the edge, or nil if nobody says where it is. The edge need not answer.
func (n *Node) openEdge(ctx context.Context) (*client.Client, error) {
	if n.cfg.Edge.URL == "" {
		n.log.WarnContext(ctx, "nobody says where the edge is (--edge-url): what is in warehouses is not given to the core")
		return nil, nil //nolint:nilnil // there is none
	}
	keys, err := auth.ReadKeys(n.cfg.TokenKeyFile)
	if err != nil {
		return nil, err
	}
	tokens := &shopTokens{keys: keys, issuer: n.cfg.TokenIssuer, audience: n.cfg.TokenAudience}
	if _, err := tokens.get(ctx); err != nil {
		return nil, fmt.Errorf("--edge-url needs a key in --token-key-file that signs tokens: %w", err)
	}
	c, err := client.New(client.Config{URL: n.cfg.Edge.URL, Token: tokens.get})
	if err != nil {
		return nil, err
	}
	n.parts.Close("close the connections to the edge", c.Close)
	return c, nil
}
