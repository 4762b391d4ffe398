package limit

import "net/netip"

// v4InV6 has the addresses of IPv4 clients as a translator in front of IPv6 servers writes them (RFC 6052).
var v4InV6 = netip.MustParsePrefix("64:ff9b::/96")

// Address is what counts as one client of an address. Of IPv6 it is the whole /64, because whoever has one
// address of it has them all; but not where an IPv4 address is written as one of IPv6.
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
