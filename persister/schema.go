package persister

import (
	"embed"
	"io/fs"

	"sluice/core/schema"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable has goose's default name. Programs of all versions look there, so it stays.
const versionTable = "goose_db_version"

// Schema is the persister as an owner of tables: those that it writes, and those of sales and vettings.
func Schema() schema.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return schema.Owner{Name: "persister", Files: files, Table: versionTable, Grants: grants}
}

// decide has the privileges for a decision about a dead letter.
const decide = "SELECT, UPDATE (resolved_at, resolved_by, resolution, replay_asked_at, replay_asked_by, replay_reason, replay_refusal)"

// grants let only the archiver delete stock, and only rows that it has put into files. The persister deletes old runs
// of comparisons and their findings. It never changes a row of the ledger. It needs UPDATE on the whole table because
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
	{Role: schema.RolePersister, Privileges: "SELECT, INSERT, UPDATE (sku_id, pool, bucket, so_far), DELETE", Table: "reconcile_pass"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: "checkpoints"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: "archived_buyers"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: "archive_runs"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: "lost_cells"},
	{Role: schema.RolePersister, Privileges: "SELECT", Table: versionTable},

	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "ledger"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "checkpoints"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "archived_buyers"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "product_inventories"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: "reservations"},
	{Role: schema.RoleEdge, Privileges: decide, Table: "dead_letters"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "lost_cells"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "redis_vettings"},
	{Role: schema.RoleEdge, Privileges: "SELECT, UPDATE (deployment, partitions)", Table: "ledger_identity"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "sales"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_items"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_keys"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "registrations"},
	{Role: schema.RoleEdge, Privileges: "SELECT, INSERT, UPDATE", Table: "pools"},
	{Role: schema.RoleEdge, Privileges: "SELECT", Table: versionTable},

	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "ledger"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "product_inventories"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "reservations"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "applied_marks"},
	{Role: schema.RoleOperator, Privileges: decide, Table: "dead_letters"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE (operator, reason, claimed_at, ended_at, outcome, said, event_epoch, event_seq)", Table: "repairs"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT", Table: "repair_approvals"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "redis_vettings"},
	{Role: schema.RoleOperator, Privileges: "SELECT, UPDATE (deployment, partitions)", Table: "ledger_identity"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "sales"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_items"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "sale_keys"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "registrations"},
	{Role: schema.RoleOperator, Privileges: "SELECT, INSERT, UPDATE", Table: "pools"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "reconcile_runs"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "reconcile_findings"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "checkpoints"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "archived_buyers"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "archive_files"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: "lost_cells"},
	{Role: schema.RoleOperator, Privileges: "SELECT", Table: versionTable},

	// It writes no mark, but MySQL demands UPDATE for a lock on its row.
	{Role: schema.RoleArchive, Privileges: "SELECT, DELETE", Table: "ledger"},
	{Role: schema.RoleArchive, Privileges: "SELECT, DELETE", Table: "reservations"},
	{Role: schema.RoleArchive, Privileges: "SELECT, UPDATE", Table: "applied_marks"},
	{Role: schema.RoleArchive, Privileges: "SELECT", Table: "dead_letters"},
	{Role: schema.RoleArchive, Privileges: "SELECT", Table: "reconcile_findings"},
	{Role: schema.RoleArchive, Privileges: "SELECT", Table: "ledger_identity"},
	{Role: schema.RoleArchive, Privileges: "SELECT, INSERT, UPDATE", Table: "checkpoints"},
	{Role: schema.RoleArchive, Privileges: "SELECT, INSERT, UPDATE", Table: "archived_buyers"},
	{Role: schema.RoleArchive, Privileges: "SELECT, INSERT", Table: "archive_files"},
	{Role: schema.RoleArchive, Privileges: "SELECT, DELETE", Table: "repairs"},
	{Role: schema.RoleArchive, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "archive_runs"},
	{Role: schema.RoleArchive, Privileges: "SELECT", Table: versionTable},

	{Role: schema.RoleShop, Privileges: "SELECT, UPDATE (safe_stock, warehouse_id)", Table: "product_inventories"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "reservations"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "sales"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "sale_items"},
	{Role: schema.RoleShop, Privileges: "SELECT", Table: "pools"},
}
