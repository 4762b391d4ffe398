package api

import (
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

// clientOf returns the address that a limit counts against. If a trusted proxy names none, the API counts and logs it.
func (a *API) clientOf(r *request) netip.Addr {
	var peer netip.Addr
	if tcp, ok := r.ctx.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr()
	}
	client, named, member := limit.Client(peer, r.head.forwardedFor, a.Proxies)
	switch named {
	case limit.NamedWell:
	case limit.NamedMissing:
		a.unnamed.missing.Inc()
	case limit.NamedUnreadable:
		a.unnamed.unreadable.Inc()
		a.complaints.Do(func() {
			a.Log.Warn("the last member of a trusted proxy's X-Forwarded-For is no address: the request counts against the proxy",
				"proxy", client, "member", strconv.QuoteToASCII(string(member)))
		})
	}
	return limit.Address(client)
}
