package limit_test

import (
	"net/netip"
	"testing"

	"sluice/core/limit"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"192.0.2.1":              "192.0.2.1",
		"::ffff:192.0.2.1":       "192.0.2.1",
		"64:ff9b::c000:201":      "192.0.2.1",
		"64:ff9b::1:c000:201":    "64:ff9b::", // of no translator
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::",
		"2001:db8:1:3::1":        "2001:db8:1:3::",
		"fe80::1%eth0":           "fe80::",
		"fe80::1%an odd name, 0": "fe80::",
	} {
		if got := limit.Address(netip.MustParseAddr(given)); got.String() != want {
			t.Errorf("%s counts as %v, want %s", given, got, want)
		}
	}
	if got := limit.Address(netip.Addr{}); got.IsValid() {
		t.Errorf("no address counts as %v", got)
	}
}

func TestAddressID(t *testing.T) {
	t.Parallel()
	seen := map[uint64]netip.Addr{}
	for _, text := range []string{
		"0.0.0.0", "192.0.2.1", "192.0.2.2", "255.255.255.255", "::1", "64:ff9b::1:c000:201", "2001:db8:1:2::", "2001:db8:1:3::", "fe80::1",
	} {
		address := limit.Address(netip.MustParseAddr(text))
		id := limit.AddressID(address)
		if other, taken := seen[id]; taken {
			t.Errorf("%v and %v are one client", address, other)
		}
		seen[id] = address
	}
	if one, other := netip.MustParseAddr("2001:db8:1:2::1"), netip.MustParseAddr("2001:db8:1:2:ff::1"); limit.AddressID(one) != limit.AddressID(other) {
		t.Errorf("%v and %v are two clients", one, other)
	}
}
