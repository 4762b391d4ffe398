package price

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
	owner        = "price"
	versionTable = "price_schema_version"
)

// Schema is the package as an owner of tables. The prices of a SKU are in the place of its product.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{Where: place.Of(shard.Products), Owner: schema.Owner{Name: owner, Files: files, Table: versionTable, Grants: grants}}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "prices" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "price_changes" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "price_outbox" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "price_versions" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "price_tasks" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "price_schedule" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "price_replays" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
