package api

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sluice/core/limit"
)

// behindProxies has trusted proxies, and one request per address.
func behindProxies(p *Parts) {
	for _, network := range []string{"127.0.0.0/8", "10.0.0.0/8", "fd00::/8"} {
		p.Proxies = append(p.Proxies, netip.MustParsePrefix(network))
	}
	p.Addresses = limit.New("address", limit.Config{Rate: 0.001, Burst: 1, KeysMax: 10_000}, limit.AddressID)
}

func TestAddressBehindProxies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tightLimits, behindProxies)
	fresh, again := http.StatusNotFound, http.StatusTooManyRequests
	for _, c := range []struct {
		lines []string
		want  int
	}{
		{[]string{"192.0.2.1"}, fresh},
		{[]string{"192.0.2.1"}, again},
		{[]string{"192.0.2.2"}, fresh},
		{[]string{"192.0.2.3, 192.0.2.2"}, again}, // what a client claims before it means nothing
		{[]string{"192.0.2.4, 10.1.2.3"}, fresh},
		{[]string{"192.0.2.4,10.9.9.9 , 10.1.2.3"}, again},
		{[]string{"192.0.2.4:40001, 10.1.2.3:80, [fd00::1]:443"}, again},
		{[]string{"203.0.113.7:40001"}, fresh},
		{[]string{"203.0.113.7:40002"}, again},
		{[]string{"203.0.113.8:40001"}, fresh},
		{[]string{"2001:db8::1"}, fresh},
		{[]string{"2001:db8::2"}, again}, // the same /64
		{[]string{"[2001:db8::3]:443"}, again},
		{[]string{"[2001:db8::3]"}, again},
		{[]string{"[2001:db8::3%eth0]:443"}, again},
		{[]string{"2001:db8:0:1::1"}, fresh},
		{[]string{"::ffff:192.0.2.1"}, again},
		{[]string{"[::ffff:192.0.2.1]:1"}, again},
		{[]string{"64:ff9b::c000:201"}, again}, // 192.0.2.1 behind a translator
		{[]string{"64:ff9b::c000:2ff"}, fresh},
		// Several lines are one list.
		{[]string{"192.0.2.10", "10.1.1.1"}, fresh},
		{[]string{"192.0.2.10", "10.1.1.1", "10.1.1.2,10.1.1.3"}, again},
		{[]string{"192.0.2.1", "192.0.2.11"}, fresh},
		{[]string{"", "192.0.2.11", "", ", ,"}, again}, // empty members are none
		// Behind trusted proxies only, the first of them is the client.
		{[]string{"10.7.7.7, 10.1.1.1"}, fresh},
		{[]string{"10.7.7.7"}, again},
	} {
		got := f.do(call{method: "GET", path: "/v1/stock/1", header: http.Header{"X-Forwarded-For": c.lines}})
		if got.status != c.want {
			t.Errorf("%q: %d %s, want %d", c.lines, got.status, got.body, c.want)
		}
	}
	if f.count(`sluice_edge_http_unnamed_requests_total{reason="missing"}`)+f.count(`sluice_edge_http_unnamed_requests_total{reason="unreadable"}`) > 0 {
		t.Error("requests with an address count as if they had none")
	}
}

// TestProxyThatNamesNobody sends requests that count against their proxy. A counter and a log line tell of it.
func TestProxyThatNamesNobody(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	f := newFixture(t, tightLimits, behindProxies, func(p *Parts) { p.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	unreadable := []string{
		"nonsense", "unknown", "_hidden", "192.0.2.1, unknown", "192.0.2.01", "192.0.2.256", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:http",
		"[192.0.2.1]", "[192.0.2.1]:80", "[2001:db8::1", "2001:db8::1]", "[]:80", "192.0.2.1 10.0.0.1", "192.0.2.1;10.0.0.1", "fe80::1%",
		"caf\u00e9\u202e",
	}
	for i, list := range append([]string{""}, unreadable...) {
		want := http.StatusTooManyRequests
		if i == 0 {
			want = http.StatusNotFound
		}
		got := f.do(call{method: "GET", path: "/v1/stock/1", header: http.Header{"X-Forwarded-For": {list}}})
		if got.status != want {
			t.Errorf("%q: %d %s, want %d", list, got.status, got.body, want)
		}
	}
	if got := f.count(`sluice_edge_http_unnamed_requests_total{reason="unreadable"}`); got != uint64(len(unreadable)) {
		t.Errorf("%d requests are counted, want %d", got, len(unreadable))
	}
	if got := f.count(`sluice_edge_http_unnamed_requests_total{reason="missing"}`); got != 1 {
		t.Errorf("%d requests without the header are counted, want 1", got)
	}
	if !strings.Contains(log.String(), "counts against the proxy") || !strings.Contains(log.String(), "nonsense") {
		t.Errorf("the log says %q", log.String())
	}
}
