package audit

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
const versionTable = "audit_schema_version"

// Schema is the package as an owner of tables.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{Where: everyPlace, Owner: schema.Owner{Name: "audit", Files: files, Table: versionTable, Grants: grants}}
}

// everyPlace is each place that has rows of the shop, once: an act is written down beside the rows that it changes.
func everyPlace(m *shard.Map) (all []shard.Place) {
	seen := map[shard.Place]bool{}
	for _, kind := range kinds {
		for _, p := range m.Places(kind) {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// grants let nobody change or delete an entry.
var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT", Table: "audit_entries__"},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
