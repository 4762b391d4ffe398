package reach

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

const urlBytesMax = 2048

// hostForm is a name in ASCII, or an IPv4 address.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\.?$`)

// numberForm is a host that browsers, and resolvers of some systems, take for an IPv4 address in another form: 2130706433, 0x7f.1, 127.1.
var numberForm = regexp.MustCompile(`(?i)(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$`)

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
func (c *Client) own(ip netip.Addr) bool { return in(ip.Unmap(), c.networks) }

// reachable reports whether an address is public, or in a network of the shop.
func (c *Client) reachable(ip netip.Addr) bool { return c.own(ip) || public(ip) }

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

// Networks reads the shop's own networks, as a setting has them.
func Networks(setting string, texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.Addr().Is4In6() {
			return nil, fmt.Errorf("%s: %q: want a network such as 10.0.0.0/8 or fd00::/8", setting, text)
		}
		all = append(all, network)
	}
	return all, nil
}

// Check returns an error if nothing can go to a URL, whatever its name stands for later.
func (c *Client) Check(to string) error {
	_, err := c.Parse(to)
	return err
}

// Parse reads a URL that may be reached. Its errors do not quote it.
func (c *Client) Parse(to string) (*url.URL, error) {
	u, err := url.Parse(to)
	switch {
	case err != nil || len(to) > urlBytesMax: // the error would quote it
		return nil, fmt.Errorf("%w: it is no URL of at most %d bytes", ErrAddress, urlBytesMax)
	case strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7F }):
		return nil, fmt.Errorf("%w: it has other characters than visible ones of ASCII", ErrAddress)
	case u.Scheme != "https" && (u.Scheme != "http" || len(c.networks) == 0):
		return nil, fmt.Errorf("%w: it is no https URL", ErrAddress)
	case u.User != nil || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("%w: it has a user, a password or a fragment", ErrAddress)
	case !hostForm.MatchString(u.Hostname()) && !strings.Contains(u.Hostname(), ":"):
		return nil, fmt.Errorf("%w: its host is no name in ASCII", ErrAddress)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%w: it has no port from 1 to 65535", ErrAddress)
		}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case err == nil && !c.reachable(ip):
		return nil, fmt.Errorf("%w: its host is in no public network", ErrAddress)
	case err != nil && numberForm.MatchString(u.Hostname()):
		return nil, fmt.Errorf("%w: its host is a number, and no address in the usual form", ErrAddress)
	}
	return u, nil
}
