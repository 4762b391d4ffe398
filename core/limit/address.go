package limit

import "net/netip"

// v4InV6 has the IPv6 addresses that stand for IPv4 clients. A translator in front of IPv6 servers writes them (RFC
// 6052).
var v4InV6 = netip.MustParsePrefix("64:ff9b::/96")

// Address returns the part of an address that counts as one client. For IPv6 it is the whole /64, because a client with
// one address of it has all of them. The exception is an IPv4 address in the form of IPv6.
func Address(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || !a.IsValid() {
		return a
	}
	if v4InV6.Contains(a) {
		bytes := a.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}
