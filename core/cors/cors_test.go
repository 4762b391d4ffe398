package cors_test

import (
	"testing"

	"sluice/core/cors"
)

func TestOriginsAreExact(t *testing.T) {
	t.Parallel()
	all, err := cors.Parse([]string{"https://shop.example", "http://localhost:3000", "https://[::1]:8443"})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://shop.example": true, "http://localhost:3000": true, "https://[::1]:8443": true,
		"": false, "null": false, "*": false, "http://shop.example": false, "https://shop.example:443": false, "https://Shop.example": false,
		"https://shop.example.evil": false, "https://evil-shop.example": false, "https://a.shop.example": false, "https://shop.example/": false,
	} {
		if got := all.Allow([]byte(origin)); got != want {
			t.Errorf("%q is let in: %v", origin, got)
		}
	}
	for _, origin := range []string{
		"", "*", "null", "shop.example", "https://*.example", "https://shop.example/", "https://shop.example/x", "https://shop.example?x", "ftp://shop.example",
		"https://u@shop.example", "HTTPS://shop.example", "https://Shop.example", "https://shop.example:443", "http://shop.example:80", "https://", "https://a, https://b", "https://a b",
	} {
		if all, err := cors.Parse([]string{"https://shop.example", origin}); err == nil {
			t.Errorf("%q is taken for an origin: %v", origin, all)
		}
	}
	if all, err := cors.Parse(nil); all != nil || err != nil || all.Allow([]byte("https://shop.example")) {
		t.Errorf("no list is %v, %v", all, err)
	}
}
