package stock

import (
	"embed"
	"io/fs"

	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

//go:embed migrations/*.sql
var migrations embed.FS

// owner is the name of the package as an owner of tables, events and tasks, and versionTable counts its migrations. Neither is
// ever renamed: programs of all versions look there.
const (
	owner        = "stock"
	versionTable = "stock_schema_version"
)

// Schema is the package as an owner of tables, which are where those of products are: a SKU leads to its product.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{Where: place.Of(shard.Products), Owner: schema.Owner{Name: owner, Files: files, Table: versionTable, Grants: grants}}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "warehouses" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "stock_skus" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "stock_units" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "stock_documents" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "stock_moves" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "stock_outbox" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "stock_versions" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "stock_tasks" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "stock_schedule" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "stock_replays" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
