package place

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"sluice/core/schema"
	"sluice/core/shard"
)

//go:embed migrations/*.sql
var migrations embed.FS

const versionTable = "place_schema_version"

// Beats owns the beats. The shop counts them, and does not change which database this is.
var Beats = func() Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return Owner{Where: Everywhere, Owner: schema.Owner{Name: "place", Files: files, Table: versionTable, Grants: []schema.Grant{
		{Role: schema.RoleCatalog, Privileges: "SELECT, UPDATE (n, at)", Table: "database_beats"},
		{Role: schema.RoleCatalog, Privileges: "SELECT", Table: versionTable},
	}}}
}()

// Owner owns tables, and says where in a map they are.
type Owner struct {
	schema.Owner
	Where Where
}

// Where says which places of a map have some tables.
type Where func(*shard.Map) []shard.Place

// Of are all places of some kinds, each once.
func Of(kinds ...shard.Kind) Where {
	return func(m *shard.Map) (all []shard.Place) {
		for _, kind := range kinds {
			for _, p := range m.Places(kind) {
				if !slices.Contains(all, p) {
					all = append(all, p)
				}
			}
		}
		return all
	}
}

// Everywhere is each database once, with tables without a suffix.
func Everywhere(m *shard.Map) []shard.Place {
	all := make([]shard.Place, len(m.Databases()))
	for i := range all {
		all[i].Database = i
	}
	return all
}

// Owners are the owners that share a map.
type Owners []Owner

// Plain are the owners without their places.
func (o Owners) Plain() (all schema.Owners) {
	for _, owner := range o {
		all = append(all, owner.Owner)
	}
	return all
}

// Named returns the owners with a name, or all of them if the name is empty.
func (o Owners) Named(name string) (Owners, error) {
	if _, err := o.Plain().Named(name); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(o), func(owner Owner) bool { return name != "" && owner.Name != name }), nil
}

// In returns the owners of the tables that a database of a map has, under their names there: one for each place.
func (o Owners) In(m *shard.Map, database int) (all schema.Owners) {
	for _, owner := range o {
		for _, p := range owner.Where(m) {
			if p.Database == database {
				all = append(all, owner.At(p.Suffix))
			}
		}
	}
	return all
}

// Migrate makes the tables of owners in all their places, one after the other, and tells of each. It ends with the first
// failure, and goes on from there when it is called again.
func (d *Databases) Migrate(ctx context.Context, owners Owners, tell func(place, owner string, done schema.Migrated, err error)) error {
	for i := range d.all {
		for _, owner := range owners {
			for _, p := range d.placesOf(owner, i) {
				done, err := owner.At(p.Suffix).Migrate(ctx, p.Writer(), d.log)
				tell(p.Name, owner.Name, done, err)
				if err != nil {
					return fmt.Errorf("%s%w", d.aboutPlace(p), err)
				}
			}
		}
	}
	return nil
}

// Quiet tells nobody of a migration.
func Quiet(string, string, schema.Migrated, error) {}

// placesOf are the places that an owner has in a database.
func (d *Databases) placesOf(owner Owner, database int) (all []Place) {
	for _, p := range owner.Where(d.shards) {
		if p.Database == database {
			all = append(all, d.of(p))
		}
	}
	return all
}

func (d *Databases) aboutPlace(p Place) string {
	if len(d.all) == 1 && p.Suffix == "" {
		return ""
	}
	return "place " + p.Name + ": "
}
