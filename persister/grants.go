package persister

import (
	"fmt"
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

// decide is what it takes to decide about a dead letter.
const decide = "SELECT, UPDATE (resolved_at, resolved_by, resolution, replay_asked_at, replay_asked_by, replay_reason, replay_refusal)"

// grants are privileges by table. Nobody but migrate may delete. The persister never changes a row of the
// ledger; UPDATE is what MariaDB demands, of the whole table, for leaving a row that is there as it is.
var grants = map[Role][]struct{ privileges, table string }{
	RoleMigrate: {{"ALL PRIVILEGES", "*"}},
	RolePersister: {
		{"SELECT, INSERT, UPDATE", "ledger"},
		{"SELECT, INSERT, UPDATE", "product_inventories"},
		{"SELECT, INSERT, UPDATE", "reservations"},
		{"SELECT, INSERT, UPDATE", "applied_marks"},
		{"SELECT, INSERT, UPDATE", "dead_letters"},
		{"SELECT, UPDATE (effects)", "redis_vettings"},
		{"SELECT", "ledger_identity"},
		{"SELECT", "goose_db_version"},
	},
	RoleEdge: {
		{"SELECT", "product_inventories"},
		{"SELECT", "reservations"},
		{decide, "dead_letters"},
		{"SELECT, INSERT, UPDATE", "redis_vettings"},
		{"SELECT", "ledger_identity"},
		{"SELECT, INSERT, UPDATE", "sales"},
		{"SELECT, INSERT, UPDATE", "sale_items"},
		{"SELECT, INSERT, UPDATE", "sale_keys"},
		{"SELECT", "goose_db_version"},
	},
	RoleOperator: {
		{"SELECT", "ledger"},
		{"SELECT", "product_inventories"},
		{"SELECT", "reservations"},
		{decide, "dead_letters"},
		{"SELECT, INSERT, UPDATE", "redis_vettings"},
		{"SELECT", "ledger_identity"},
		{"SELECT, INSERT, UPDATE", "sales"},
		{"SELECT, INSERT, UPDATE", "sale_items"},
		{"SELECT, INSERT, UPDATE", "sale_keys"},
		{"SELECT", "goose_db_version"},
	},
	RoleShop: {
		{"SELECT, UPDATE (safe_stock, warehouse_id)", "product_inventories"},
		{"SELECT", "reservations"},
		{"SELECT", "sales"},
		{"SELECT", "sale_items"},
	},
}

// Grants are the statements that give an existing account of MySQL a role in a database whose schema has
// been migrated.
func Grants(role Role, database, user, host string) ([]string, error) {
	list, ok := grants[role]
	if !ok {
		return nil, fmt.Errorf("role %q: want migrate, persister, edge, operator or shop", role)
	}
	if strings.ContainsAny(user+host, `'\`) || strings.Contains(database, "`") {
		return nil, fmt.Errorf("grant to %q at %q in %q: names may have no quotes", user, host, database)
	}
	statements := make([]string, len(list))
	for i, g := range list {
		table := g.table
		if table != "*" {
			table = "`" + table + "`"
		}
		statements[i] = "GRANT " + g.privileges + " ON `" + database + "`." + table + " TO '" + user + "'@'" + host + "'"
	}
	return statements, nil
}
