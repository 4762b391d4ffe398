package edge_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/auth"
)

// A shopper buys with a token that a key of the shop has signed, also at an edge that started while the shop was away.
func TestEdgeFollowsTheKeysOfTheShop(t *testing.T) {
	t.Parallel()
	ring, err := auth.NewRing(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{"keys": ring.Published()})
	if err != nil {
		t.Fatal(err)
	}
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	defer shop.Close()
	s := newStack(t)
	s.cfg.ShopKeysURL = shop.URL + "/.well-known/jwks.json"
	s.start()
	s.load(1, 10, "")
	keys, err := ring.Keys()
	if err != nil {
		t.Fatal(err)
	}
	token := func(role auth.Role) string {
		t.Helper()
		now := time.Now()
		claims := auth.Claims{
			Identity: auth.Identity{Subject: 7, Role: role}, Issuer: "sluice", Audience: "sluice",
			NotBefore: now.Add(-auth.Skew), Expires: now.Add(auth.ShopperLifetime),
		}
		if role == auth.RoleShopper {
			claims.Session = 77
		}
		token, err := keys.Issue(claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	const reservation = `{"sku_id":"1","quantity":1}`
	bought := func() bool {
		return s.send("POST", "/v1/reservations", token(auth.RoleShopper), reservation).status == http.StatusCreated
	}
	s.until(20*time.Second, "the shop's key is known", bought)
	for _, role := range []auth.Role{auth.RoleService, auth.RoleAdmin} {
		if got := s.send("GET", "/admin/v1/skus/1", token(role), ""); got.status != http.StatusUnauthorized {
			t.Errorf("the shop's key signs as %v: %d %s", role, got.status, got.body)
		}
	}
	s.shutdown()
	shop.Close()
	s.start()
	if !bought() {
		t.Error("an edge that started while the shop was away refuses its shoppers")
	}
}
