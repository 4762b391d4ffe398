package limit

import (
	"bytes"
	"net/netip"
)

// Named says whether trusted proxies name the client of a request.
type Named uint8

// How they name it.
const (
	NamedWell       Named = iota // or no proxy sent the request
	NamedMissing                 // the last proxy names no address
	NamedUnreadable              // it names something that is no address
)

// Client returns the client of a request, whose limit Address tells: the peer, or, behind trusted proxies, the last address in
// X-Forwarded-For that is not a trusted proxy's. Addresses before that one are only claims of the client. forwarded has all lines of the
// header, joined by commas. If a proxy names no address, the proxy is the client: that is too strict for the people behind
// it, but nobody gets around the limit that way. member is what cannot be read.
func Client(peer netip.Addr, forwarded []byte, proxies []netip.Prefix) (client netip.Addr, named Named, member []byte) {
	client = peer.Unmap().WithZone("") // no network contains an address with a zone
	first := true
	for isProxy(client, proxies) {
		if forwarded, member = lastMember(forwarded); member == nil {
			if first {
				return client, NamedMissing, nil
			}
			break // behind trusted proxies only, the first of them is the client
		}
		before, ok := parseMember(string(member))
		if !ok {
			return client, NamedUnreadable, member
		}
		client, first = before, false
	}
	return client, NamedWell, nil
}

func isProxy(address netip.Addr, proxies []netip.Prefix) bool {
	for _, network := range proxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// lastMember cuts the last member off a list, nil if it has none. Empty ones are none (RFC 9110, 5.6.1).
func lastMember(list []byte) (rest, member []byte) {
	for len(list) > 0 {
		comma := bytes.LastIndexByte(list, ',')
		member, list = bytes.Trim(list[comma+1:], " \t"), list[:max(comma, 0)]
		if len(member) > 0 {
			return list, member
		}
	}
	return nil, nil
}

// parseMember reads an address of X-Forwarded-For, which has no standard: bare, in brackets, or with a port.
func parseMember(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil && len(text) > 2 && text[0] == '[' && text[len(text)-1] == ']' {
		address, err = netip.ParseAddr(text[1 : len(text)-1])
		if err == nil && !address.Is6() {
			return netip.Addr{}, false
		}
	}
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(text)
		address = withPort.Addr()
	}
	return address.Unmap().WithZone(""), err == nil
}
