package schema

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a MySQL account is for.
type Role string

// The roles. Each may do what it needs and nothing else.
const (
	RoleMigrate   Role = "migrate"   // sluice migrate
	RolePersister Role = "persister" // sluice persister
	RoleEdge      Role = "edge"      // sluice edge
	RoleOperator  Role = "operator"  // the commands of operators
	RoleShop      Role = "shop"      // the shop's own services: they read, and plan stock
)

// Roles are all of them.
var Roles = []Role{RoleMigrate, RolePersister, RoleEdge, RoleOperator, RoleShop}

// Account is the name by which the documents call the account of a role.
func (r Role) Account() string { return "sluice_" + string(r) }

// Grant is what accounts of a role may do with a table.
type Grant struct {
	Role       Role
	Privileges string // as in GRANT
	Table      string
}

// Statements are what gives an existing account of MySQL a role in a database whose tables have been migrated.
func (o Owners) Statements(role Role, database, user, host string) ([]string, error) {
	if !slices.Contains(Roles, role) {
		names := make([]string, len(Roles))
		for i := range Roles {
			names[i] = string(Roles[i])
		}
		return nil, fmt.Errorf("role %.40q: want %s", role, strings.Join(names, ", "))
	}
	if strings.ContainsAny(user+host, `'\`) || strings.Contains(database, "`") {
		return nil, fmt.Errorf("grant to %q at %q in %q: names may have no quotes", user, host, database)
	}
	to := " TO '" + user + "'@'" + host + "'"
	if role == RoleMigrate {
		return []string{"GRANT ALL PRIVILEGES ON `" + database + "`.*" + to}, nil
	}
	var statements []string
	for _, owner := range o {
		for _, g := range owner.Grants {
			if g.Role == role {
				statements = append(statements, "GRANT "+g.Privileges+" ON `"+database+"`.`"+g.Table+"`"+to)
			}
		}
	}
	return statements, nil
}
