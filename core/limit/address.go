package limit

import (
	"encoding/binary"
	"net/netip"
)

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

// AddressID tells apart what Address returns: by the /64, or by the IPv4 address behind bits that are no /64 of a client.
func AddressID(a netip.Addr) uint64 {
	if a.Is4() {
		four := a.As4()
		return 0xffff_ffff<<32 | uint64(binary.BigEndian.Uint32(four[:]))
	}
	sixteen := a.As16()
	return binary.BigEndian.Uint64(sixteen[:8])
}

// UserID tells users apart.
func UserID(user int64) uint64 { return uint64(user) }
