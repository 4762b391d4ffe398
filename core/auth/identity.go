package auth

import (
	"fmt"
	"math"
)

// Role is what the bearer of a token may do.
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

// Identity is who bears a verified token.
type Identity struct {
	Subject int64 // user id, 1 to 2^63-1
	Role    Role
}

// ParseID reads a positive 64-bit integer as sluice writes ids: digits without sign or leading zeros.
func ParseID[T ~string | ~[]byte](text T) (id int64, ok bool) {
	if len(text) == 0 || len(text) > 19 || text[0] == '0' {
		return 0, false
	}
	var v uint64 // 19 digits fit
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return int64(v), v <= math.MaxInt64
}
