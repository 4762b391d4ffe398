package auth

import (
	"fmt"

	"sluice/core/ids"
)

// Role says what the bearer of a token may do.
type Role uint8

// The roles.
const (
	RoleNone    Role = 0 // nobody: the zero Identity
	RoleShopper Role = 1 // acts for itself: the subject is its user id
	RoleService Role = 2 // a shop's own service, acts for any user
	RoleAdmin   Role = 3 // loads and adjusts stock, opens and closes sales
)

var roleNames = [...]string{"none", "shopper", "service", "admin"}

// String is the role's word, as tokens carry it.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole reads a role's word.
func ParseRole(word string) (Role, error) {
	for i, name := range roleNames[1:] {
		if word == name {
			return Role(i + 1), nil
		}
	}
	return RoleNone, fmt.Errorf("role %q: want shopper, service or admin", word)
}

// Identity is the bearer of a verified token.
type Identity struct {
	Subject int64 // user id, 1 to 2^63-1
	Role    Role
	Session ids.Session // in which a shopper got the token; 0: none
	Scopes  Scopes      // of a service
}
