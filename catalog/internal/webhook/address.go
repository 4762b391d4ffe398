package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"regexp"
	"syscall"
)

// hostForm is a name in ASCII, or an IPv4 address.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?$`)

// The networks that are not public although their addresses look so (IANA's registries of special-purpose addresses).
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// What of IPv6 is public lies in global, and addresses in translated stand for those of IPv4.
var (
	global     = netip.MustParsePrefix("2000::/3")
	translated = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) (all []netip.Prefix) {
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func in(ip netip.Addr, networks []netip.Prefix) bool {
	for _, network := range networks {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// own reports whether an address is in a network of the shop.
func (s *Sender) own(ip netip.Addr) bool { return in(ip.Unmap(), s.networks) }

// reachable reports whether an address is public, or in a network of the shop.
func (s *Sender) reachable(ip netip.Addr) bool { return s.own(ip) || public(ip) }

// public reports whether an address is somebody's on the Internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if translated.Contains(ip) {
		bytes := ip.As16()
		ip = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case ip.Zone() != "" || !ip.IsGlobalUnicast() || ip.IsPrivate():
		return false
	case ip.Is6() && !global.Contains(ip):
		return false
	}
	return !in(ip, special)
}

// guard refuses a connection at the last moment, when its name is an address already: a name that has changed since it was
// looked up leads nowhere else.
func guard(may func(netip.Addr) bool) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !may(to.Addr()) {
			return fmt.Errorf("%w: its name stands for no public address", ErrAddress)
		}
		return nil
	}
}

func tlsOf(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
