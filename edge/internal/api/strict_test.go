package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/stock"
)

// post is a reservation as raw bytes, with more header lines.
func post(token, body string, lines ...string) string {
	head := []string{"POST /v1/reservations HTTP/1.1", "Host: x", "Authorization: Bearer " + token}
	return strings.Join(append(head, lines...), "\r\n") + "\r\n\r\n" + body
}

const jsonLine = "Content-Type: application/json"

// TestRequestsThatTwoReadersCouldReadInTwoWays sends each case followed by an honest request on the same
// connection: the case is refused, and what follows it is never executed.
func TestRequestsThatTwoReadersCouldReadInTwoWays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cell := stock.Cell{SKU: 1}
	f.load(cell, 1000, nil)
	token := f.token(7, auth.RoleShopper)
	body := taken(1, 1)
	length := fmt.Sprintf("Content-Length: %d", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	key := "Idempotency-Key: k"
	next := post(token, body, key+"next", jsonLine, length)

	for name, request := range map[string]string{
		"length and coding":             post(token, chunked, key, jsonLine, length, "Transfer-Encoding: chunked"),
		"coding and length":             post(token, chunked, key, jsonLine, "Transfer-Encoding: chunked", length),
		"coding and a length of zero":   post(token, chunked, key, jsonLine, "Transfer-Encoding: chunked", "Content-Length: 0"),
		"identity and length":           post(token, body, key, jsonLine, "Transfer-Encoding: identity", length),
		"two lengths":                   post(token, body, key, jsonLine, length, "Content-Length: 5"),
		"the same length twice":         post(token, body, key, jsonLine, length, length),
		"two lengths in one line":       post(token, body, key, jsonLine, length+", 5"),
		"length with a sign":            post(token, body, key, jsonLine, fmt.Sprintf("Content-Length: +%d", len(body))),
		"negative length":               post(token, body, key, jsonLine, "Content-Length: -1"),
		"hexadecimal length":            post(token, body, key, jsonLine, fmt.Sprintf("Content-Length: 0x%x", len(body))),
		"empty length":                  post(token, body, key, jsonLine, "Content-Length:"),
		"length beyond 64 bits":         post(token, body, key, jsonLine, "Content-Length: 18446744073709551650"),
		"length with a blank in it":     post(token, body, key, jsonLine, "Content-Length: 3 3"),
		"two codings":                   post(token, chunked, key, jsonLine, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"two codings in one line":       post(token, chunked, key, jsonLine, "Transfer-Encoding: gzip, chunked"),
		"chunked twice":                 post(token, chunked, key, jsonLine, "Transfer-Encoding: chunked, chunked"),
		"coding unknown":                post(token, chunked, key, jsonLine, "Transfer-Encoding: xchunked"),
		"coding identity":               post(token, body, key, jsonLine, "Transfer-Encoding: identity"),
		"coding empty":                  post(token, chunked, key, jsonLine, "Transfer-Encoding:"),
		"coding with a parameter":       post(token, chunked, key, jsonLine, "Transfer-Encoding: chunked;q=1"),
		"coding folded":                 post(token, chunked, key, jsonLine, "Transfer-Encoding:\r\n chunked"),
		"blank before the colon":        post(token, chunked, key, jsonLine, "Transfer-Encoding : chunked"),
		"blank in a name":               post(token, chunked, key, jsonLine, length, "Transfer Encoding: chunked"),
		"tab before a name":             post(token, body, key, jsonLine, length, "\tX: 1"),
		"folded line":                   post(token, body, key, jsonLine, length, "X: 1\r\n Content-Length: 5"),
		"no name":                       post(token, body, key, jsonLine, length, ": 1"),
		"no colon":                      post(token, body, key, jsonLine, length, "X"),
		"NUL in a value":                post(token, body, key, jsonLine, length, "X: a\x00b"),
		"CR in a value":                 post(token, body, key, jsonLine, length, "X: a\rb"),
		"line ended by LF":              post(token, body, key, jsonLine, length, "X: 1\nY: 2"),
		"header ended by LF":            post(token, body, key, jsonLine, length, "X: 1\r\n\nX: 2"),
		"header ended by two LF":        post(token, body, key, jsonLine, length, "X: 1\n\nX: 2"),
		"coding after an LF":            post(token, chunked, key, jsonLine, length, "X: 1\nTransfer-Encoding: chunked"),
		"HTTP/1.0 with chunks":          strings.Replace(post(token, chunked, key, jsonLine, "Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1),
		"HTTP/0.9":                      strings.Replace(post(token, body, key, jsonLine, length), "HTTP/1.1", "HTTP/0.9", 1),
		"HTTP/1.2":                      strings.Replace(post(token, body, key, jsonLine, length), "HTTP/1.1", "HTTP/1.2", 1),
		"HTTP/2.0":                      strings.Replace(post(token, body, key, jsonLine, length), "HTTP/1.1", "HTTP/2.0", 1),
		"http/1.1":                      strings.Replace(post(token, body, key, jsonLine, length), "HTTP/1.1", "http/1.1", 1),
		"no version":                    strings.Replace(post(token, body, key, jsonLine, length), " HTTP/1.1", "", 1),
		"no host":                       strings.Replace(post(token, body, key, jsonLine, length), "Host: x\r\n", "", 1),
		"two hosts":                     post(token, body, key, jsonLine, length, "Host: y"),
		"absolute target":               strings.Replace(post(token, body, key, jsonLine, length), "/v1", "http://x/v1", 1),
		"target of another host":        strings.Replace(post(token, body, key, jsonLine, length), "/v1", "http://y/v1", 1),
		"target with a fragment":        strings.Replace(post(token, body, key, jsonLine, length), "reservations ", "reservations#x ", 1),
		"target with a blank":           strings.Replace(post(token, body, key, jsonLine, length), "reservations ", "reservations x ", 1),
		"target without a slash":        strings.Replace(post(token, body, key, jsonLine, length), "/v1", "v1", 1),
		"two tokens":                    post(token, body, key, jsonLine, length, "Authorization: Bearer "+token),
		"two keys":                      post(token, body, key, jsonLine, length, key),
		"two keys in other cases":       post(token, body, key, jsonLine, length, "IDEMPOTENCY-KEY: k2"),
		"two media types":               post(token, body, key, jsonLine, length, "content-type: application/json"),
		"two content codings":           post(token, body, key, jsonLine, length, "Content-Encoding: gzip", "content-encoding: identity"),
		"chunk size with a sign":        post(token, "+"+chunked, key, jsonLine, "Transfer-Encoding: chunked"),
		"chunk size with 0x":            post(token, "0x"+chunked, key, jsonLine, "Transfer-Encoding: chunked"),
		"chunk without its CR LF":       post(token, fmt.Sprintf("%x\r\n%sXX0\r\n\r\n", len(body), body), key, jsonLine, "Transfer-Encoding: chunked"),
		"chunk size too long":           post(token, "fffffffffffffffff\r\n"+body, key, jsonLine, "Transfer-Encoding: chunked"),
		"LF in a chunk extension":       post(token, fmt.Sprintf("%x;a\n\r\n%s\r\n0\r\n\r\n", len(body), body), key, jsonLine, "Transfer-Encoding: chunked"),
		"a length in the trailer":       post(token, fmt.Sprintf("%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n", len(body), body), key, jsonLine, "Transfer-Encoding: chunked"),
		"an authorization as a trailer": post(token, fmt.Sprintf("%x\r\n%s\r\n0\r\nAuthorization: x\r\n\r\n", len(body), body), key, jsonLine, "Transfer-Encoding: chunked"),
	} {
		got := f.raw(request + next)
		if len(got) != 1 || got[0].status != 400 || !got[0].last {
			t.Errorf("%s: %d answers: %v", name, len(got), got)
		}
	}
	if c := f.state(cell); c.Held != 0 {
		t.Errorf("%d units are held", c.Held)
	}
}

// TestHonestRequests sends unusual requests that have only one meaning.
func TestHonestRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	token := f.token(7, auth.RoleShopper)
	body := taken(1, 1)
	length := fmt.Sprintf("Content-Length: %d", len(body))
	n := 0
	g := func(name, request string, want ...int) {
		t.Helper()
		got := f.raw(request)
		ok := len(got) == len(want)
		for i := range got {
			ok = ok && got[i].status == want[i]
		}
		if !ok {
			t.Errorf("%s: %v", name, got)
		}
	}
	key := func() string {
		n++
		return fmt.Sprintf("Idempotency-Key: k%d", n)
	}
	g("plain", post(token, body, key(), jsonLine, length), 201)
	g("chunked", post(token, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), key(), jsonLine, "Transfer-Encoding: chunked"), 201)
	g("Chunked in two", post(token, fmt.Sprintf("1\r\n%s\r\n%x;ext=1\r\n%s\r\n0\r\nX: y\r\n\r\n", body[:1], len(body)-1, body[1:]),
		key(), jsonLine, "Transfer-Encoding: Chunked"), 201)
	g("pipelined", post(token, body, key(), jsonLine, length)+post(token, body, key(), jsonLine, length), 201, 201)
	g("HTTP/1.0", strings.Replace(post(token, body, key(), jsonLine, length), "HTTP/1.1", "HTTP/1.0", 1), 201)
	g("names in capitals", strings.NewReplacer("Authorization", "AUTHORIZATION", "Bearer", "bEARER", "Content-", "CONTENT-", "Idempotency-Key", "idempotency-key").
		Replace(post(token, body, key(), jsonLine, length)), 201)
	g("blanks around values", post(token, body, "Idempotency-Key: \t k \t ", jsonLine+"  ", length+" "), 201)
	g("charset", post(token, body, key(), jsonLine+"; Charset=UTF-8", length), 201)
	g("quoted charset", post(token, body, key(), jsonLine+` ;charset="utf-8"`, length), 201)
	g("expecting to continue", post(token, body, key(), jsonLine, length, "Expect: 100-continue"), 201)
	g("an empty line before", "\r\n"+post(token, body, key(), jsonLine, length), 201)
	g("unknown headers", post(token, body, key(), jsonLine, length, "Cookie: a=b", "X-Request-Id: evil\t", "Accept: */*"), 201)
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token := f.token(7, auth.RoleShopper)
	for _, value := range []string{
		"", "text/plain", "application/jsonx", "application/json-patch+json", "application/json; charset=latin1",
		"application/json; charset=utf-8; x=y", "application/json, text/plain", "application/json x", "multipart/form-data; boundary=x",
		"application/x-www-form-urlencoded", "application/problem+json", "*/*",
	} {
		got := f.do(call{method: "POST", path: reservePath, token: token, body: taken(1, 1), header: http.Header{"Content-Type": {value}}})
		if got.code() != "unsupported_media_type" {
			t.Errorf("%q: %s", value, got.body)
		}
	}
	got := f.do(call{method: "POST", path: reservePath, token: token, body: taken(1, 1), header: http.Header{"Content-Encoding": {"gzip"}}})
	if got.code() != "unsupported_media_type" {
		t.Errorf("gzip: %s", got.body)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	token := f.token(7, auth.RoleShopper)
	g := func(line, wantCode string) {
		t.Helper()
		body := taken(1, 1)
		got := f.raw(post(token, body, jsonLine, fmt.Sprintf("Content-Length: %d", len(body)), line))
		if len(got) != 1 || got[0].code() != wantCode {
			t.Errorf("%.60q: %v, want %q", line, got, wantCode)
		}
	}
	g("X: y", "idempotency_key_missing")
	for _, bad := range []string{
		"", `""`, `"`, `"a`, `a b`, `"a b"`, `"a"b`, `"a";x=1`, `"a", "b"`, `"a\n"`, `"a\"`, "k\x80y", "ключ", strings.Repeat("k", 129),
		`"` + strings.Repeat("k", 129) + `"`, `"` + strings.Repeat(`\"`, 129) + `"`, "a\tb",
	} {
		g("Idempotency-Key: "+bad, "idempotency_key_invalid")
	}
	for _, good := range []string{
		"a", `a"b`, strings.Repeat("k", 128), `"` + strings.Repeat("k", 128) + `"`, `"` + strings.Repeat(`\"`, 128) + `"`,
		`"a\\b"`, "8e03978e-40d5-43e8-bc93-6894a57f9324", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~",
	} {
		g("Idempotency-Key: "+good, "")
	}
}

func TestPathsAreMatchedAsSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.load(stock.Cell{SKU: 1}, 1000, nil)
	get := func(path, wantCode string) {
		t.Helper()
		got := f.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if len(got) != 1 || got[0].code() != wantCode {
			t.Errorf("%s: %v, want %q", path, got, wantCode)
		}
	}
	get("/v1/stock/1", "")
	get("/v1/stock/1?sale_id=2", "not_loaded")
	for _, path := range []string{
		"/", "//", "/v1", "/v1/", "/v1//stock/1", "//v1/stock/1", "/v1/stock/1/", "/v1/stock/", "/v1/./stock/1", "/v1/x/../stock/1",
		"/V1/stock/1", "/v1/Stock/1", "/%761/stock/1", "/v1%2Fstock/1", "/v1/stock/1/x", "/livez", "/readyz", "/metrics", "/debug/pprof/",
		"/debug/pprof/cmdline", "/v1/stock;a/1", "/v1\\stock\\1", "/admin", "/admin/v1/skus/",
	} {
		get(path, "not_found")
	}
	for _, path := range []string{
		"/v1/stock/%31", "/v1/stock/01", "/v1/stock/-1", "/v1/stock/1.0", "/v1/stock/9223372036854775808", "/v1/stock/{sku_id}",
		"/v1/stock/1%00", "/v1/stock/1;x", "/v1/stock/..", "/v1/stock/.",
	} {
		get(path, "not_loaded")
	}
	for _, path := range []string{
		"/v1/stock/1?", // the empty query
		"/v1/stock?sku_ids=1,2",
		"/v1/stock?sku_ids=1%2C2%2c3",
	} {
		get(path, "")
	}
	for _, path := range []string{
		"/v1/stock/1?x=1", "/v1/stock/1?sale_id=0", "/v1/stock/1?sale_id=1&sale_id=1", "/v1/stock/1?sale_id=4294967296", "/v1/stock/1?sale_id",
		"/v1/stock/1?Sale_id=1", "/v1/stock/1?&", "/v1/stock/1?sale%5Fid=1", "/v1/stock", "/v1/stock?sku_ids=", "/v1/stock?sku_ids=1,,2",
		"/v1/stock?sku_ids=1,0", "/v1/stock?sku_ids=1+2", "/v1/stock?sku_ids=1&sku_ids=2", "/v1/stock?sku_ids=" + strings.Repeat("1,", 100) + "1",
	} {
		get(path, "malformed")
	}
}

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g := func(method, path, wantAllow string) {
		t.Helper()
		got := f.raw(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if len(got) != 1 || got[0].code() != "method_not_allowed" || got[0].header.Get("Allow") != wantAllow {
			t.Errorf("%s %s: %v", method, path, got)
		}
	}
	g("GET", "/v1/deductions", "POST")
	g("OPTIONS", "/v1/deductions", "POST")
	g("post", "/v1/reservations", "GET, HEAD, POST")
	g("DELETE", "/v1/reservations/x", "GET, HEAD")
	g("TRACE", "/v1/stock/1", "GET, HEAD")
	g("PURGE", "/v1/stock/1", "GET, HEAD")
	g("POST", "/admin/v1/skus/1", "GET, HEAD, PATCH, PUT")
	g("POST", "/admin/v1/sales/1", "GET, HEAD, PUT")
	if got := f.raw("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0].status != 400 && got[0].status != 404 {
		t.Errorf("OPTIONS *: %v", got)
	}
}

func TestOversizedInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token := f.token(7, auth.RoleShopper)
	g := func(name, request, wantCode string) {
		t.Helper()
		got := f.raw(request)
		if len(got) != 1 || got[0].code() != wantCode {
			t.Errorf("%s: %v", name, got)
		}
	}
	long := strings.Repeat("x", 16<<10+1)
	g("body", post(token, long, "Idempotency-Key: k", jsonLine, fmt.Sprintf("Content-Length: %d", len(long))), "payload_too_large")
	g("announced body", post(token, "", "Idempotency-Key: k", jsonLine, "Content-Length: 1000000000000"), "payload_too_large")
	g("expected body", post(token, "", "Idempotency-Key: k", jsonLine, "Content-Length: 1000000", "Expect: 100-continue"), "payload_too_large")
	g("chunks", post(token, fmt.Sprintf("%x\r\n%s\r\n", len(long), long), "Idempotency-Key: k", jsonLine, "Transfer-Encoding: chunked"), "payload_too_large")
	g("header", post(token, "", "X: "+strings.Repeat("x", 8<<10)), "headers_too_large")
	g("headers", post(token, "", strings.Repeat("X: y\r\n", 2000)+"Z: z"), "headers_too_large")
	g("target", "GET /"+strings.Repeat("x", 8<<10)+" HTTP/1.1\r\nHost: x\r\n\r\n", "headers_too_large")
	blanks := strings.Repeat(" ", 16<<10-len(taken(1, 1))) + taken(1, 1)
	g("body of the largest size", post(token, blanks, "Idempotency-Key: k", jsonLine, fmt.Sprintf("Content-Length: %d", len(blanks))), "not_loaded")
}

// TestTooLargeABodyIsNotAskedFor has clients that wait for 100 Continue before they send the body.
func TestTooLargeABodyIsNotAskedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token := f.token(7, auth.RoleShopper)
	g := func(path, token string, length int, want string) {
		t.Helper()
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		head := post(token, "", "Idempotency-Key: k", jsonLine, fmt.Sprintf("Content-Length: %d", length), "Expect: 100-continue")
		head = strings.Replace(head, "/v1/reservations", path, 1)
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Errorf("%d bytes: %q, %v, want %q", length, got, err, want)
		}
	}
	g("/v1/reservations", token, 16<<10, "HTTP/1.1 100 Continue\r\n")
	g("/v1/reservations", token, 16<<10+1, "HTTP/1.1 413 ")
	g("/admin/v1/transfers", token, 16<<10+1, "HTTP/1.1 403 ")
	g("/admin/v1/transfers", f.token(1, auth.RoleAdmin), 1<<20, "HTTP/1.1 100 Continue\r\n")
	g("/admin/v1/transfers", f.token(1, auth.RoleAdmin), 1<<20+1, "HTTP/1.1 413 ")
}

// TestAdminsMaySendMore sends bodies that are larger than others may send. With an admin's token they are read. Without
// one they are refused before they are read.
func TestAdminsMaySendMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin, shopper := f.token(1, auth.RoleAdmin), f.token(7, auth.RoleShopper)
	body := func(bytes int) string {
		const plan = `{"name":"large","items":[{"sku_id":"1","quantity":1}]}`
		return plan + strings.Repeat(" ", bytes-len(plan))
	}
	put := func(token, path string, bytes int, framing, sent string) string {
		r := post(token, "", "Idempotency-Key: k", jsonLine, framing) + sent
		return strings.Replace(r, "POST /v1/reservations", "PUT "+path, 1)
	}
	length := func(bytes int) string { return fmt.Sprintf("Content-Length: %d", bytes) }
	chunks := func(bytes int) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", bytes, body(bytes)) }
	const sale, small, large = "/admin/v1/sales/7", 16 << 10, 1 << 20
	g := func(name, request string, status int, code string) {
		t.Helper()
		got := f.raw(request)
		if len(got) != 1 || got[0].status != status || got[0].code() != code {
			t.Errorf("%s: %v", name, got)
		}
	}
	g("the largest", put(admin, sale, large, length(large), body(large)), 201, "")
	g("the largest in chunks", put(admin, sale, large, "Transfer-Encoding: chunked", chunks(large)), 201, "")
	g("one more", put(admin, sale, large+1, length(large+1), body(large+1)), 413, "payload_too_large")
	g("one more in chunks", put(admin, sale, large+1, "Transfer-Encoding: chunked", chunks(large+1)), 413, "payload_too_large")
	g("an admin elsewhere", put(admin, "/v1/reservations", small+1, length(small+1), body(small+1)), 413, "payload_too_large")
	g("a shopper", put(shopper, sale, large, length(large), ""), 403, "forbidden")
	g("a shopper in chunks", put(shopper, sale, large, "Transfer-Encoding: chunked", chunks(small+1)), 413, "payload_too_large")
	g("a forged token", put(admin+"x", sale, large, length(large), ""), 401, "unauthorized")
	g("no token", strings.Replace(put(admin, sale, large, length(large), ""), "Authorization: ", "X: ", 1), 401, "unauthorized")

	// The rights of an admin's request do not pass to the next request on its connection.
	got := f.raw(put(admin, sale, large, length(large), body(large)) + put(shopper, "/v1/reservations", small+1, length(small+1), body(small+1)))
	if len(got) != 2 || got[0].status != 201 || got[1].code() != "payload_too_large" {
		t.Errorf("a shopper behind an admin: %v", got)
	}

	items := strings.Repeat(`{"sku_id":"1","quantity":1},`, 10_001)
	if got := f.do(call{method: "PUT", path: sale, token: admin, body: `{"name":"x","items":[` + strings.TrimSuffix(items, ",") + `]}`}); got.code() != "malformed" ||
		!strings.Contains(got.body, "at most 10000 items") {
		t.Errorf("too many items: %s", got.body)
	}
}

// TestAdminsMayTakeLonger: a large body has time of its own, and nobody else's has.
func TestAdminsMayTakeLonger(t *testing.T) {
	t.Parallel()
	var a *API
	f := newFixture(t, func(p *Parts) {
		parts := *p
		parts.Metrics = metrics.NewSet()
		a = New(parts)
	})
	for _, c := range []struct {
		role  auth.Role
		path  string
		bytes int // -1: in chunks
		want  fasthttp.RequestConfig
	}{
		{auth.RoleAdmin, "/admin/v1/sales/7", bodyBytesMax + 1, fasthttp.RequestConfig{MaxRequestBodySize: adminBodyBytesMax, ReadTimeout: adminBodyTime}},
		{auth.RoleAdmin, "/admin/v1/sales/7", -1, fasthttp.RequestConfig{MaxRequestBodySize: adminBodyBytesMax, ReadTimeout: adminBodyTime}},
		{auth.RoleAdmin, "/admin/v1/sales/7", bodyBytesMax, fasthttp.RequestConfig{}},
		{auth.RoleAdmin, "/v1/reservations", bodyBytesMax + 1, fasthttp.RequestConfig{}},
		{auth.RoleService, "/admin/v1/sales/7", bodyBytesMax + 1, fasthttp.RequestConfig{}},
		{auth.RoleShopper, "/admin/v1/sales/7", -1, fasthttp.RequestConfig{}},
	} {
		framing := "Transfer-Encoding: chunked"
		if c.bytes >= 0 {
			framing = fmt.Sprintf("Content-Length: %d", c.bytes)
		}
		text := strings.Replace(post(f.token(1, c.role), "", framing), "/v1/reservations", c.path, 1)
		var h fasthttp.RequestHeader
		if err := h.Read(bufio.NewReader(strings.NewReader(text))); err != nil {
			t.Fatal(err)
		}
		if got := a.headerReceived(&h); got != c.want {
			t.Errorf("%v, %d bytes to %s: %+v, want %+v", c.role, c.bytes, c.path, got, c.want)
		}
	}
}

func TestBodiesWhereNoneIsWanted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	service := f.token(1, auth.RoleService)
	id := strings.Repeat("0", 32)
	for _, c := range []call{
		{method: "GET", path: "/v1/stock/1"},
		{method: "GET", path: "/v1/stock?sku_ids=1"},
		{method: "GET", path: reservePath + "/" + id, token: service},
		{method: "POST", path: reservePath + "/" + id + "/release", token: service},
		{method: "POST", path: reservePath + "/" + id + "/confirm", token: service},
	} {
		c.body = "{}"
		if got := f.do(c); got.code() != "malformed" {
			t.Errorf("%s %s: %s", c.method, c.path, got.body)
		}
	}
	if got := f.do(call{method: "POST", path: reservePath, token: service, header: http.Header{"Content-Type": {"application/json"}}}); got.code() != "malformed" {
		t.Errorf("a missing body: %s", got.body)
	}
}

func TestNoise(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, noise := range []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x00", "GET", "GET /", "{}\r\n\r\n", strings.Repeat("A", 5000), "\r\n\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX",
	} {
		for _, got := range f.raw(noise) {
			if got.status != 400 {
				t.Errorf("%.40q: %d %s", noise, got.status, got.body)
			}
		}
	}
}
