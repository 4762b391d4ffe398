// Package schema brings a database up to what its programs need, and says who may do what there. Tables belong to
// owners: the persister, and each package of the shop. An owner has its own migrations and its own count of them, so
// that one moves on without the others.
package schema

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"

	"sluice/core/db"
)

// Owner is who owns some tables of a database.
type Owner struct {
	Name   string  // one lower-case word, unique
	Files  fs.FS   // its migrations, at the top: 00001_word.sql, in the form of goose
	Table  string  // where the database keeps which of them were applied; no other owner's, and never renamed
	Grants []Grant // what accounts may do with its tables; the account that migrates may do everything
}

// Owners are those who share a database.
type Owners []Owner

// Named are the owners of a name, or all of them if the name is empty.
func (o Owners) Named(name string) (Owners, error) {
	if name == "" {
		return o, nil
	}
	names := make([]string, len(o))
	for i := range o {
		if names[i] = o[i].Name; name == o[i].Name {
			return o[i : i+1], nil
		}
	}
	return nil, fmt.Errorf("owner %.40q: want %s", name, strings.Join(names, ", "))
}

// Version is the version of the schema that this program was written for: the highest number of a migration.
func (o Owner) Version() (highest int64) {
	files, err := fs.Glob(o.Files, "*.sql")
	if err != nil {
		panic(err) // the pattern is constant
	}
	for _, file := range files {
		if version, err := goose.NumericComponent(file); err == nil { // goose passes the others over too
			highest = max(highest, version)
		}
	}
	return highest
}

// Check reports a database whose schema is older than this program. A newer one is fine: schemas only grow, so that
// old and new programs can run side by side.
func (o Owner) Check(ctx context.Context, database *sql.DB) error {
	var version sql.NullInt64
	statement := "SELECT MAX(version_id) FROM " + o.Table + " WHERE is_applied"
	if err := database.QueryRowContext(ctx, statement).Scan(&version); err != nil {
		return db.ReadError("schema version of "+o.Name, o.Table, err)
	}
	if version.Int64 < o.Version() {
		return fmt.Errorf("the schema of %s has version %d, want %d: run sluice migrate", o.Name, version.Int64, o.Version())
	}
	return nil
}

func (o Owner) provider(db *sql.DB) (*goose.Provider, error) {
	// The registry of migrations in Go is one for the whole program, and those there would be everybody's.
	provider, err := goose.NewProvider(goose.DialectMySQL, db, o.Files, goose.WithTableName(o.Table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations of %s: %w", o.Name, err)
	}
	return provider, nil
}
