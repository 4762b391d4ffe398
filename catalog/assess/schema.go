package assess

import (
	"embed"
	"io/fs"

	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is never renamed: programs of all versions look there.
const versionTable = "assess_schema_version"

// Schema is the package as an owner of tables. They are in every place that has rows of the shop: an answer is beside the rows of
// its effect.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{
		Where: place.Of(shard.Users, shard.Products, shard.Values, shard.Checkouts),
		Owner: schema.Owner{Name: "assess", Files: files, Table: versionTable, Grants: grants},
	}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "assess_answers" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "assess_counts" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
