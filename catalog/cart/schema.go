package cart

import (
	"embed"
	"io/fs"

	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

//go:embed migrations/*.sql
var migrations embed.FS

// owner is the name of the package as an owner of tables and tasks, and versionTable counts its migrations. Neither is ever
// renamed: programs of all versions look there.
const (
	owner        = "cart"
	versionTable = "cart_schema_version"
)

// Schema is the package as an owner of tables.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{Where: place.Of(shard.Users), Owner: schema.Owner{Name: owner, Files: files, Table: versionTable, Grants: grants}}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "carts" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "cart_guests" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "cart_merges" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "cart_shares" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "cart_tasks" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "cart_schedule" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "cart_replays" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
