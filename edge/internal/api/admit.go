package api

import (
	"bytes"
	"net"
	"net/netip"

	"sluice/core/auth"
	"sluice/edge/internal/limit"
)

// roles is a set of roles.
type roles uint8

func roleSet(list ...auth.Role) (set roles) {
	for _, role := range list {
		set |= 1 << role
	}
	return set
}

var (
	admins             = roleSet(auth.RoleAdmin)
	services           = roleSet(auth.RoleService)
	shoppersOrServices = roleSet(auth.RoleShopper, auth.RoleService)
)

var errNoToken = &fault{code: codeUnauthorized, detail: "want an Authorization header with a bearer token"}

// admit lets bearers of a token with one of the roles pass, within their limits. A token that was seen
// before costs nothing; what might cost a signature's check is limited by address first. Services and
// admins have no limits of their own.
func (a *API) admit(r *request, may roles) error {
	token := r.head.bearer()
	identity, seen := auth.Identity{}, false
	if token != nil {
		identity, seen = a.Tokens.Cached(token, r.now)
	}
	if !seen || identity.Role == auth.RoleShopper {
		if err := a.admitAddress(r); err != nil {
			return err
		}
	}
	if token == nil {
		return errNoToken
	}
	if !seen {
		var err error
		if identity, err = a.Tokens.Verify(token, r.now); err != nil {
			return &fault{code: codeUnauthorized, detail: err.Error()}
		}
	}
	if may&(1<<identity.Role) == 0 {
		return errForbidden
	}
	r.who = identity
	if identity.Role == auth.RoleShopper && a.Users != nil {
		r.userTaken = a.Users.Take(identity.Subject, r.now)
		return limited(r.userTaken)
	}
	return nil
}

// admitAddress lets a client pass within the limit of its address.
func (a *API) admitAddress(r *request) error {
	if a.Addresses == nil {
		return nil
	}
	r.addressTaken = a.Addresses.Take(a.clientOf(r), r.now)
	return limited(r.addressTaken)
}

func limited(taken limit.Taken) error {
	if taken.OK {
		return nil
	}
	return &fault{code: codeRateLimited, retryAfter: taken.RetryAfter}
}

// clientOf is the address that a limit counts against: the peer's, or, behind a trusted proxy, the last
// one in X-Forwarded-For that is not a trusted proxy too. Of IPv6, whoever has one address has its
// whole /64.
func (a *API) clientOf(r *request) netip.Addr {
	var client netip.Addr
	if peer, ok := r.ctx.RemoteAddr().(*net.TCPAddr); ok {
		client = peer.AddrPort().Addr().Unmap()
	}
	for rest := r.head.forwardedFor; a.isProxy(client) && len(rest) > 0; {
		var last []byte
		if comma := bytes.LastIndexByte(rest, ','); comma >= 0 {
			rest, last = rest[:comma], rest[comma+1:]
		} else {
			rest, last = nil, rest
		}
		before, err := netip.ParseAddr(string(trim(last)))
		if err != nil {
			break
		}
		client = before.Unmap()
	}
	if client.Is6() {
		client = netip.PrefixFrom(client.WithZone(""), 64).Masked().Addr()
	}
	return client
}

func (a *API) isProxy(address netip.Addr) bool {
	for _, network := range a.Proxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}
