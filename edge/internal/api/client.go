package api

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/limit"
)

// unnamed counts requests that a trusted proxy passed on without saying for whom.
type unnamed struct{ missing, unreadable *metrics.Counter }

func newUnnamed(set *metrics.Set) unnamed {
	return unnamed{
		missing:    set.NewCounter(`sluice_edge_http_unnamed_requests_total{reason="missing"}`),
		unreadable: set.NewCounter(`sluice_edge_http_unnamed_requests_total{reason="unreadable"}`),
	}
}

// clientOf returns the address that a limit counts against. It is the peer's address, or, behind trusted proxies, the last
// address in X-Forwarded-For that is not a trusted proxy's. Addresses before that one are only claims of the client. If a
// proxy names no address, the request counts against the proxy. That is too strict for the shoppers behind it, so the API
// counts and logs it, but nobody gets around the limit that way.
func (a *API) clientOf(r *request) netip.Addr {
	var client netip.Addr
	if peer, ok := r.ctx.RemoteAddr().(*net.TCPAddr); ok {
		client = peer.AddrPort().Addr().Unmap().WithZone("") // no network contains an address with a zone
	}
	named := false
	for rest := r.head.forwardedFor; a.isProxy(client); named = true {
		var member []byte
		if rest, member = lastMember(rest); member == nil {
			if !named {
				a.unnamed.missing.Inc()
			}
			break
		}
		before, ok := parseMember(string(member))
		if !ok {
			a.unnamed.unreadable.Inc()
			a.complaints.Do(func() {
				a.Log.Warn("the last member of a trusted proxy's X-Forwarded-For is no address: the request counts against the proxy",
					"proxy", client, "member", strconv.QuoteToASCII(string(member)))
			})
			break
		}
		client = before
	}
	return limit.Address(client)
}

func (a *API) isProxy(address netip.Addr) bool {
	for _, network := range a.Proxies {
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
		member, list = trim(list[comma+1:]), list[:max(comma, 0)]
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
