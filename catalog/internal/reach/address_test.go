package reach_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/catalog/internal/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, cfg reach.Config) *reach.Client {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	c := reach.New(cfg)
	t.Cleanup(c.Close)
	return c
}

func TestURLs(t *testing.T) {
	t.Parallel()
	public := newClient(t, reach.Config{})
	inside := newClient(t, reach.Config{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}})
	f := func(url string, toPublic, toInside bool) {
		t.Helper()
		if err := public.Check(url); (err == nil) != toPublic {
			t.Errorf("%s: %v, want allowed %v", url, err, toPublic)
		}
		if err := inside.Check(url); (err == nil) != toInside {
			t.Errorf("%s from inside: %v, want allowed %v", url, err, toInside)
		}
	}
	f("https://example.com", true, true)
	f("https://example.com/hooks?token=1", true, true)
	f("https://example.com:8443/", true, true)
	f("https://xn--bcher-kva.example/", true, true)
	f("https://example.com/%C2%85", true, true)
	for _, text := range []string{"\u0085", "\u00a0", "\u202e", "\u200b", "é", " ", "\xff"} {
		f("https://example.com/"+text, false, false)
		f("https://example.com/?a="+text, false, false)
	}
	f("https://8.8.8.8/", true, true)
	f("https://1.example/", true, true)
	f("https://0x7f.example/", true, true)
	f("https://[2606:4700::1]/", true, true)
	f("http://gateway.internal/", false, true) // the dialer looks at its address
	f("http://10.1.2.3/", false, true)
	f("https://10.1.2.3/", false, true)
	f("https://[fd00:1::9]:8443/", false, true)
	for _, url := range []string{
		"", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "https:", "https:///x", "https://",
		"https:example.com", "https://user@example.com/", "https://user:pass@example.com/", "https://example.com/#x",
		"https://example.com:0/", "https://example.com:65536/", "https://example.com:x/", "https://exa mple.com/", "https://bücher.example/",
		"https://example.com\r\nX: y/", "https://exam\tple.com", "https://.example.com/", "https://-/", "https://" + strings.Repeat("a", 300) + "/",
		"https://example.com/" + strings.Repeat("a", 2048),
		"https://127.0.0.1/", "https://127.9.9.9/", "https://0.0.0.0/", "https://10.2.0.1/", "https://172.16.0.1/", "https://172.31.255.255/",
		"https://192.168.1.1/", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1/", "https://192.0.0.8/", "https://192.0.2.1/",
		"https://198.18.0.1/", "https://198.51.100.1/", "https://203.0.113.1/", "https://224.0.0.1/", "https://240.0.0.1/", "https://255.255.255.255/",
		"https://[::]/", "https://[::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[fc00::1]/", "https://[fd00:2::1]/", "https://[ff02::1]/",
		"https://[::ffff:127.0.0.1]/", "https://[::ffff:169.254.169.254]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
		"https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::1]/", "https://[2001::1]/", "https://[2001:db8::1]/", "https://[2002:7f00:1::]/",
		"https://example.com/\u0085", "https://example.com/bücher", "https://example.com/a b", "https://example.com/\x7f",
		"https://2130706433/", "https://0x7f000001/", "https://0X7F000001/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0x7f.1/",
		"https://0x7f.0.0.0x1/", "https://127.0.0.1./", "https://8.8.8.8./", "https://a.1/", "https://a.0x/", "https://1/",
		"https://[3fff::1]/", "https://[100::1]/", "https://[fec0::1]/", "https://[5f00::1]/",
	} {
		f(url, false, false)
	}
	f("https://[64:ff9b::808:808]/", true, true) // 8.8.8.8 behind NAT64
	f("https://[::ffff:10.1.2.3]/", false, true)
}
