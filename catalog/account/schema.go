package account

import (
	"embed"
	"io/fs"

	"sluice/core/schema"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is never renamed: programs of all versions look there.
const versionTable = "account_schema_version"

// Schema is the package as an owner of tables.
func Schema() schema.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return schema.Owner{Name: "account", Files: files, Table: versionTable, Grants: grants}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT", Table: "users"},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
