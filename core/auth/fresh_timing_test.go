package auth

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"sluice/core/ids"
)

// BenchmarkFreshTokens has the opening of a sale: 100,000 shoppers come at once, each with a token of the shop that the edge has not
// seen. A request asks the memory of verified tokens, and verifies. A request to an empty handler of net/http, made in the same
// process, says how fast the machine is meanwhile, and tokens of a shared key what is not the signature's. CPU time is steadier than time on a busy machine.
//
//	go test -run '^$' -bench BenchmarkFreshTokens -benchtime 100000x -count 5 ./core/auth
func BenchmarkFreshTokens(b *testing.B) {
	const shoppers = 100_000
	ring, err := NewRing(noon)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := ring.Keys()
	if err != nil {
		b.Fatal(err)
	}
	own, err := NewKeys(hsKey)
	if err != nil {
		b.Fatal(err)
	}
	published := NewShoppers()
	published.Set(keys)
	b.Run("empty", func(b *testing.B) { measure(b, emptyHandler(b)) })
	for _, bench := range []struct {
		name string
		by   *Keys
	}{{"eddsa", keys}, {"hs256", own}} {
		var tokens [][]byte
		for i := range shoppers {
			text, err := bench.by.Issue(Claims{
				Identity: Identity{Subject: int64(i+1) << 30, Role: RoleShopper, Session: ids.Session(i+1) << 40}, Issuer: "iss", Audience: "aud",
				NotBefore: noon.Add(-Skew), Expires: noon.Add(ShopperLifetime),
			})
			if err != nil {
				b.Fatal(err)
			}
			tokens = append(tokens, []byte(text))
		}
		b.Run(bench.name, func(b *testing.B) {
			var v *Verifier
			measure(b, func(i int) {
				if i%shoppers == 0 {
					v = NewVerifier(own, VerifierConfig{Issuer: "iss", Audience: "aud", CacheMax: 2 * shoppers, Shoppers: published, Ended: NewEnded()})
				}
				token := tokens[i%shoppers]
				if _, seen := v.Cached(token, noon); seen {
					b.Fatal("a token was seen before")
				}
				if _, err := v.Verify(token, noon); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// measure counts the CPU time of requests.
func measure(b *testing.B, request func(i int)) {
	b.Helper()
	runtime.GC()
	b.ReportAllocs()
	b.ResetTimer()
	before := ownCPU()
	for i := range b.N {
		request(i)
	}
	b.ReportMetric(float64(ownCPU()-before)/float64(b.N), "cpu-ns/op")
}

// emptyHandler returns a request to a handler that does nothing, on a connection that stays.
func emptyHandler(b *testing.B) func(int) {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(server.Close)
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(b.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	answers := bufio.NewReader(conn)
	return func(int) {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			b.Fatal(err)
		}
		_ = answer.Body.Close()
	}
}
