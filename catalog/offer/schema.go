package offer

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
	owner        = "offer"
	versionTable = "offer_schema_version"
)

// Schema is the package as an owner of tables. All rows of an offer are in the place that its id says.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{Where: place.Of(shard.Values), Owner: schema.Owner{Name: owner, Files: files, Table: versionTable, Grants: grants}}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "offers" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT", Table: "offer_moves" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "offer_outbox" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "offer_versions" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "offer_tasks" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "offer_schedule" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "offer_replays" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
