package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Role is the purpose of a MySQL account.
type Role string

// The roles. Each may do what it needs and nothing else.
const (
	RoleMigrate   Role = "migrate"   // sluice migrate
	RolePersister Role = "persister" // sluice persister
	RoleEdge      Role = "edge"      // sluice edge
	RoleOperator  Role = "operator"  // the commands of operators
	RoleArchive   Role = "archive"   // sluice archive; no other role deletes stock
	RoleShop      Role = "shop"      // a shop's own services: they read, and plan stock
	RoleCatalog   Role = "catalog"   // sluice catalog, with tables of its own
)

// Roles are those about the tables of stock.
var Roles = []Role{RoleMigrate, RolePersister, RoleEdge, RoleOperator, RoleArchive, RoleShop}

// Account returns the name that the documents give the account of a role.
func (r Role) Account() string { return "sluice_" + string(r) }

// Grant says what accounts of a role may do with a table.
type Grant struct {
	Role       Role
	Privileges string // as in GRANT
	Table      string
}

// columns writes a list of columns in the form of a grant.
var columns = regexp.MustCompile(`\(([^)]*)\)`)

// granted returns, sorted, the tables of the database and the columns (table.column) that the owner's grants name.
func (o Owner) granted(ctx context.Context, database *sql.DB) (names []string, err error) {
	named := map[string]bool{}
	for _, g := range o.Grants {
		named[g.Table] = true
		for _, list := range columns.FindAllStringSubmatch(g.Privileges, -1) {
			for column := range strings.SplitSeq(list[1], ",") {
				named[g.Table+"."+strings.TrimSpace(column)] = true
			}
		}
	}
	rows, err := database.QueryContext(ctx, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()")
	if err != nil {
		return nil, fmt.Errorf("read which tables there are: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return nil, fmt.Errorf("read which tables there are: %w", err)
		}
		for _, name := range []string{table, table + "." + column} {
			if named[name] {
				names = append(names, name)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read which tables there are: %w", err)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// since returns the new tables, and the new columns of the others.
func since(before, after []string) (names []string) {
	for _, name := range after {
		table, _, _ := strings.Cut(name, ".")
		if !slices.Contains(before, name) && (name == table || slices.Contains(before, table)) {
			names = append(names, name)
		}
	}
	return names
}

// know reports whether an owner grants a role something.
func (o Owners) know(role Role) bool {
	return slices.ContainsFunc(o, func(owner Owner) bool {
		return slices.ContainsFunc(owner.Grants, func(g Grant) bool { return g.Role == role })
	})
}

// Statements returns the statements that give an existing account of MySQL a role. The tables of the database must
// have been migrated.
func (o Owners) Statements(role Role, database, user, host string) ([]string, error) {
	if !slices.Contains(Roles, role) && !o.know(role) {
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
