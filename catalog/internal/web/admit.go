package web

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"sluice/catalog/internal/apikey"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/limit"
	"sluice/core/problem"
)

// caller is who makes a request, as far as it is known, and what its limits say.
type caller struct {
	auth.Identity

	acts          auth.Role // in which the request was let pass
	tenant        int64     // the seller whose key it has; 0: none
	request       string    // its id
	client        netip.Addr
	user, address limit.Allowance
	wrote         db.Position // where the request's write is
}

type callerKey struct{}

// Who is the bearer of the token of a request, for an operation that is not everybody's.
func Who(ctx context.Context) auth.Identity {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return auth.Identity{}
	}
	return c.Identity
}

// Origin says for people where a request comes from: an address, and the id of the request.
func Origin(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return ""
	}
	return c.client.String() + " " + c.request
}

// Client is the address that a request came from, as limits count it: of IPv6 it is the /64.
func Client(ctx context.Context) netip.Addr {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return netip.Addr{}
	}
	return c.client
}

// admit lets those pass who may call the operation, within their limits. The order of the checks is that of the edge:
// a shopper whose token was seen before is counted first, so that a request over the limit takes nothing from the others
// behind its address. A new token costs its address first, before anybody checks a signature.
func (s *Server) admit(r *http.Request, c *caller, may Permission) error {
	token, now := bearer(r.Header), s.Now()
	seen := false
	if token != "" {
		c.Identity, seen = s.Tokens.Cached([]byte(token), now)
	}
	if seen {
		if err := s.admitUser(c); err != nil {
			return err
		}
	}
	c.client = s.client(r)
	c.address = s.Addresses.Allow(c.client, now)
	if err := limited(c.address); err != nil {
		return err
	}
	if may.Roles&Anybody != 0 {
		return nil
	}
	if token == "" {
		return errNoToken
	}
	if apikey.Is(token) {
		return s.admitKey(r.Context(), c, token, may)
	}
	if !seen {
		var err error
		if c.Identity, err = s.Tokens.Verify([]byte(token), now); err != nil {
			return &problem.Problem{Kind: problem.Unauthorized, Detail: err.Error()}
		}
		if err := s.admitUser(c); err != nil {
			return err
		}
	}
	return s.permit(r.Context(), c, may)
}

// admitUser lets a shopper pass within its limit. Services and admins have none.
func (s *Server) admitUser(c *caller) error {
	if c.Role != auth.RoleShopper {
		return nil
	}
	c.user = s.Users.Allow(c.Subject, s.Now())
	return limited(c.user)
}

// live refuses the token of a session that has ended, if the operation cannot do with what is known after some seconds: who has
// taken a token must not end the sessions of its user, say.
func (s *Server) live(ctx context.Context, c *caller, o *operation) error {
	if s.Lives == nil || c.Session == 0 || o.may.Roles&Anybody != 0 || !o.route.writes() && !o.may.Live {
		return nil
	}
	lives, err := s.Lives(ctx, c.Identity)
	if err == nil && !lives {
		err = errEnded
	}
	return err
}

func limited(a limit.Allowance) error {
	if a.OK {
		return nil
	}
	return &problem.Problem{Kind: problem.RateLimited, RetryAfter: a.RetryAfter}
}

// client is the address that a limit counts against.
func (s *Server) client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client, named, _ := limit.Client(peer.Addr(), []byte(strings.Join(r.Header.Values("X-Forwarded-For"), ",")), s.Proxies)
	if named != limit.NamedWell { // what it ends with may come from the client
		s.complain("a trusted proxy's X-Forwarded-For does not end with an address: the request counts against the proxy", "proxy", client)
	}
	return limit.Address(client)
}

// rateHeaders tells of the limits that were asked, as draft-ietf-httpapi-ratelimit-headers has it.
func (c *caller) rateHeaders(h http.Header) {
	for _, field := range []struct {
		name   string
		append func(limit.Allowance, []byte) []byte
	}{
		{"RateLimit-Policy", limit.Allowance.AppendPolicy},
		{"RateLimit", limit.Allowance.AppendState},
	} {
		var text []byte
		for _, a := range []limit.Allowance{c.user, c.address} {
			if !a.Limited() {
				continue
			}
			if len(text) > 0 {
				text = append(text, ", "...)
			}
			text = field.append(a, text)
		}
		if len(text) > 0 {
			h.Set(field.name, string(text))
		}
	}
}

// bearer is the access token, empty if there is none of that form.
func bearer(h http.Header) string {
	const scheme = "bearer "
	value := h.Get("Authorization")
	if len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return ""
	}
	return value[len(scheme):]
}
