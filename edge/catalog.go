package edge

import (
	"context"
	"time"

	"sluice/core/auth"
	"sluice/core/lifecycle"
	"sluice/edge/front"
)

const (
	// frontSubject is who an edge is to the catalog, by its own tokens.
	frontSubject = 1
	// frontTokenLife is how long such a token lives: it is for one request.
	frontTokenLife = time.Minute
)

// serveCatalog keeps answers of the catalog, if the edge knows where that is.
func (n *Node) serveCatalog(background *lifecycle.Group) error {
	if n.cfg.Catalog.URL == "" {
		return nil
	}
	keys, err := auth.ReadKeys(n.cfg.TokenKeyFile)
	if err != nil {
		return err
	}
	token := func(now time.Time) (string, error) {
		return keys.Issue(auth.Claims{
			Identity: auth.Identity{Subject: frontSubject, Role: auth.RoleService, Scopes: auth.ScopeProductsRead},
			Issuer:   n.cfg.TokenIssuer, Audience: n.cfg.TokenAudience, NotBefore: now.Add(-auth.Skew), Expires: now.Add(frontTokenLife),
		})
	}
	n.front, err = front.New(front.Parts{
		Config: n.cfg.Catalog, Brokers: n.cfg.Kafka.Brokers, Token: token, Local: n.local, Metrics: n.set, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.parts.Later("forget the catalog", func(context.Context) error { n.front.Close(); return nil })
	background.Run("catalog", n.front.Run)
	return nil
}
