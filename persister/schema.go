package persister

import (
	"embed"
	"io/fs"

	"sluice/core/schema"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is what goose calls it where nobody says otherwise. Programs of all versions look there, so it stays.
const versionTable = "goose_db_version"

// Schema is the persister as an owner of tables: those that it writes, and those of sales and vettings, which are as
// old as they are.
func Schema() schema.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return schema.Owner{Name: "persister", Files: files, Table: versionTable, Grants: grants}
}

// decide is what it takes to decide about a dead letter.
const decide = "SELECT, UPDATE (resolved_at, resolved_by, resolution, replay_asked_at, replay_asked_by, replay_reason, replay_refusal)"

// grants let nobody delete stock: what leaves are old runs of comparisons, and what they found. The persister never changes a row of the ledger. It needs UPDATE on the whole table because
// MariaDB demands it for a statement that leaves existing rows as they are.
var grants = []schema.Grant{
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE", Table: "ledger"},
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE", Table: "product_inventories"},
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE", Table: "reservations"},
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE", Table: "applied_marks"},
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE", Table: "dead_letters"},
	{Role: schema.RolePersister, Privileges: "SELECT, UPDATE (effects)", Table: "redis_vettings"},
	{Role: schema.RolePersister, Privileges: "SELECT, UPDATE (ended_at, outcome, said)", Table: "repairs"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: "ledger_identity"},
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, DELETE", Table: "reconcile_runs"},
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "reconcile_findings"},
	{Role: schema.RolePersister, Privileges: "SELECT, UPDATE (holder, held_until)", Table: "reconcile_lease"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: versionTable},

	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "product_inventories"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "reservations"},
	{Role: schema.RoleEdge, Privileges: decide, Table: "dead_letters"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "redis_vettings"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "ledger_identity"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "sales"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_items"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_keys"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: versionTable},

	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "ledger"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "product_inventories"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "reservations"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "applied_marks"},
	{Role: schema.RoleOperator, Privileges: decide, Table: "dead_letters"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE (operator, reason, claimed_at, ended_at, outcome, said, event_epoch, event_seq)", Table: "repairs"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "redis_vettings"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "ledger_identity"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "sales"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_items"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_keys"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "reconcile_runs"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "reconcile_findings"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: versionTable},

	{Role: schema.RoleShop, Privileges: "SELECT, UPDATE (safe_stock, warehouse_id)", Table: "product_inventories"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "reservations"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "sales"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "sale_items"},
}
