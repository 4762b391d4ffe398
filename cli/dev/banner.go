package dev

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"sluice/core/auth"
	"sluice/core/stock"
)

// The users of the demo tokens.
const (
	demoShopper = 42
	demoService = 1
	demoSKU     = 1001
)

// tokens has the tokens of the demo.
type tokens struct{ shopper, service string }

func (s *stack) issueTokens(context.Context) error {
	keys, err := auth.ReadKeys(s.cfg.TokenKeyFile)
	if err != nil {
		return err
	}
	now := time.Now()
	issue := func(user int64, role auth.Role) (token string) {
		if err == nil {
			token, err = keys.Issue(auth.Claims{
				Identity: auth.Identity{Subject: user, Role: role}, Issuer: s.cfg.TokenIssuer, Audience: s.cfg.TokenAudience,
				NotBefore: now, Expires: now.Add(auth.LifetimeMax),
			})
		}
		return token
	}
	s.tokens = tokens{shopper: issue(demoShopper, auth.RoleShopper), service: issue(demoService, auth.RoleService)}
	return err
}

// banner returns the text that the user reads when everything is up. The curl lines work as they are: the key is new
// in each run, and the id of the reservation follows from it.
func (s *stack) banner() string {
	key := "demo-" + rand.Text()
	id := stock.Identity{
		User: demoShopper, Route: stock.OpReserve, Cell: stock.Cell{SKU: demoSKU}, Key: key,
	}.ID(s.cfg.Stock.Partitions)

	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	line("sluice is up; Ctrl-C stops it. Data, keys and logs are in %s", s.dir)
	line("")
	line("  edge   http://%s", s.edge.Addr())
	line("  shop   http://%s", s.catalog.Addr())
	line("  ops    http://%s  (persister: http://%s, shop: http://%s)", s.edge.OpsAddr(), s.persister.OpsAddr(), s.catalog.OpsAddr())
	line("  mail   http://%s/messages", s.catalog.OpsAddr())
	for _, server := range s.servers {
		line("  %-5s  %s", server[0], server[1])
	}
	line("")
	line("A token of shopper %d, good for a day:", demoShopper)
	line("%s", s.tokens.shopper)
	line("")
	line("Reserve a unit, confirm it, and see the stock in Redis and in MySQL:")
	line("")
	line(`curl -sS -w '\n' http://%s/v1/reservations -H 'Authorization: Bearer %s' -H 'Idempotency-Key: %s' -H 'Content-Type: application/json' -d '{"sku_id":"%d","quantity":1}'`,
		s.edge.Addr(), s.tokens.shopper, key, demoSKU)
	line("")
	line(`curl -sS -w '\n' -X POST http://%s/v1/reservations/%s/confirm -H 'Authorization: Bearer %s' -H 'Idempotency-Key: %s'`,
		s.edge.Addr(), id, s.tokens.service, key)
	line("")
	line(`curl -sS http://%s/stock/%d`, s.pageAddr, demoSKU)
	return b.String()
}
