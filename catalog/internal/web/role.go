package web

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"sluice/catalog/internal/apikey"
	"sluice/core/auth"
	"sluice/core/problem"
)

// Roles that no token says. Every person's token says shopper, and the shop looks up what else they are.
const (
	RoleSupport      auth.Role = auth.RoleAdmin + 1 + iota // helps shoppers and sellers; granted by an admin
	RoleOps                                                // runs the shop; granted by an admin
	RoleSellerMember                                       // of the seller that the request names
	RoleSellerOwner                                        // likewise
	RoleSellerKey                                          // a system that has a key of the seller
	rolesEnd
)

var lookedUp = [...]string{"support", "ops", "seller_member", "seller_owner", "seller_key"}

// Word is a role's word, of those that no token says too.
func Word(role auth.Role) string {
	if role > auth.RoleAdmin && role < rolesEnd {
		return lookedUp[role-RoleSupport]
	}
	return role.String()
}

// Roles is a set of roles. The empty set is nobody.
type Roles uint16

// Anybody is everybody, also without a token.
const Anybody Roles = 1 << 15

// Granted are the roles that an admin grants to a user.
var Granted = RolesOf(RoleSupport, RoleOps)

// sellers are the roles that a user has in one seller. The statements of package seller look them up, in the seller's own rows:
// here it is enough to be a shopper.
var sellers = RolesOf(RoleSellerMember, RoleSellerOwner)

// RolesOf makes a set.
func RolesOf(list ...auth.Role) (set Roles) {
	for _, role := range list {
		set |= 1 << role
	}
	return set
}

// Has reports whether a bearer of the role may make the request.
func (s Roles) Has(role auth.Role) bool { return s&(Anybody|1<<role) != 0 }

// String lists the roles for people.
func (s Roles) String() string {
	if s&Anybody != 0 {
		return "anybody"
	}
	var words []string
	for role := auth.RoleShopper; role < rolesEnd; role++ {
		if s.Has(role) {
			words = append(words, Word(role))
		}
	}
	return strings.Join(words, ", ")
}

// first is the role of a set by which its bearer acts.
func (s Roles) first() auth.Role {
	for role := rolesEnd - 1; role > auth.RoleNone; role-- {
		if s&(1<<role) != 0 {
			return role
		}
	}
	return auth.RoleNone
}

// permit lets a request pass whose bearer may call the operation. It looks granted roles up only where the role of the token is
// not enough.
func (s *Server) permit(ctx context.Context, c *caller, may Permission) error {
	c.acts = c.Role
	err := may.refuse(c.Identity)
	if err == nil || c.Role != auth.RoleShopper {
		return err
	}
	if may.Roles&sellers != 0 {
		return nil
	}
	if may.Roles&Granted == 0 || s.Granted == nil {
		return err
	}
	held, err := s.granted(ctx, c.Subject)
	switch {
	case err != nil:
		return err
	case held&may.Roles&Granted == 0:
		return errForbidden
	}
	c.acts = (held & may.Roles & Granted).first()
	return nil
}

// admitKey lets a system of a seller pass, within the limit of the seller.
func (s *Server) admitKey(ctx context.Context, c *caller, text string, may Permission) error {
	if s.Keys == nil {
		return errKey
	}
	key, err := s.key(ctx, text)
	switch {
	case errors.Is(err, apikey.ErrKey):
		return errKey
	case err != nil:
		return err
	}
	c.Role, c.acts, c.tenant = RoleSellerKey, RoleSellerKey, key.Holder
	c.user = s.Users.Allow(-key.Holder, s.Now()) // no user has such an id
	if err := limited(c.user); err != nil {
		return err
	}
	switch {
	case !may.Roles.Has(RoleSellerKey):
		return errForbidden
	case !key.Allows(may.KeyScope):
		return &problem.Problem{Kind: problem.Forbidden, Detail: "the API key has other scopes than " + may.KeyScope}
	}
	return nil
}

// key looks an API key up. It takes a place, as granted does.
func (s *Server) key(ctx context.Context, text string) (key apikey.Key, err error) {
	err = s.placed(ctx, func(ctx context.Context) error {
		key, err = s.Keys(ctx, text)
		return err
	})
	return key, err
}

// granted looks up what is granted to a user. It takes a place, as an operation does, because it asks the database too.
func (s *Server) granted(ctx context.Context, user int64) (held Roles, err error) {
	err = s.placed(ctx, func(ctx context.Context) error {
		held, err = s.Granted(ctx, user)
		return err
	})
	return held, err
}

// placed does something in a place, within the time of a request.
func (s *Server) placed(ctx context.Context, do func(context.Context) error) error {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return errOverloaded
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return do(ctx)
}

// Tenant is the seller whose key the bearer of a request has. It is 0 for people and services.
func Tenant(ctx context.Context) int64 {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return 0
	}
	return c.tenant
}

// Actor names who makes a request, by the role in which it was let pass: admin:1, or ops:42.
func Actor(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(*caller)
	if c == nil {
		return ""
	}
	return Word(c.acts) + ":" + strconv.FormatInt(max(c.Subject, c.tenant), 10) // one of them is 0
}
