package product

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
	owner        = "product"
	versionTable = "product_schema_version"
)

// Schema is the package as an owner of tables. Categories and brands have rows in one place of those of products only.
func Schema() place.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return place.Owner{Where: place.Of(shard.Products), Owner: schema.Owner{Name: owner, Files: files, Table: versionTable, Grants: grants}}
}

var grants = []schema.Grant{
	{Role: schema.RoleCatalog, Privileges: "SELECT, UPDATE", Table: "category_tree" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "categories" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "category_names" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "attributes" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "attribute_names" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "brands" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "brand_names" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "product_blocks" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "products" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "product_texts" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "product_skus" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "product_media" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "product_changes" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: "product_outbox" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "product_versions" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "product_tasks" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: "product_schedule" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE, DELETE", Table: "product_replays" + schema.Suffix},
	{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
}
