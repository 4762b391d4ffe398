// Package schema makes the tables that programs need in a database, and grants roles their rights on them. Each table
// belongs to an owner: the persister, or a package of the shop. An owner has its own migrations and counts them itself,
// so that one owner moves on without the others.
package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"sluice/core/db"
)

// Owner owns some tables of a database.
type Owner struct {
	Name   string  // one lower-case word, unique
	Files  fs.FS   // its migrations, at the top: 00001_word.sql, in the form of goose
	Table  string  // the table in which the database keeps which of them were applied. No other owner uses it, and it is never renamed
	Grants []Grant // what accounts may do with its tables. The account that migrates may do everything
}

// Owners are the owners that share a database.
type Owners []Owner

// Named returns the owners with a name, or all of them if the name is empty.
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

// Version returns the version of the schema that this program needs: the highest number of a migration.
func (o Owner) Version() (highest int64) {
	files, err := fs.Glob(o.Files, "*.sql")
	if err != nil {
		panic(err) // the pattern is constant
	}
	for _, file := range files {
		if version, err := goose.NumericComponent(file); err == nil { // goose skips the other files too
			highest = max(highest, version)
		}
	}
	return highest
}

// Check returns an error if the schema of a database is older than this program. A newer one is fine: schemas only
// grow, so that old and new programs can run side by side.
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
	// Goose has one registry of Go migrations for the whole program. Its entries would belong to every owner.
	provider, err := goose.NewProvider(goose.DialectMySQL, db, o.Files, goose.WithTableName(o.Table), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations of %s: %w", o.Name, err)
	}
	return provider, nil
}

// Suffix stands in statements for the suffix that a place of core/shard gives the names of its tables. Nothing else has it.
const Suffix = "__"

// At returns the owner of the same tables under names with a suffix, which may be empty. A place with a suffix has a count
// of versions of its own, so that a new place begins at the first migration.
func (o Owner) At(suffix string) Owner {
	versions := o.Table
	o.Files, o.Table = suffixed{o.Files, suffix}, versions+suffix
	o.Grants = slices.Clone(o.Grants)
	for i := range o.Grants {
		g := &o.Grants[i]
		if g.Table = strings.ReplaceAll(g.Table, Suffix, suffix); g.Table == versions {
			g.Table = o.Table
		}
	}
	return o
}

// suffixed are migrations for the tables with a suffix.
type suffixed struct {
	fs.FS
	suffix string
}

// Open implements fs.FS.
func (s suffixed) Open(name string) (fs.File, error) {
	file, err := s.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read migration %s: %w", name, err), file.Close())
	}
	return suffixedFile{file, strings.NewReader(strings.ReplaceAll(string(text), Suffix, s.suffix))}, nil
}

type suffixedFile struct {
	fs.File
	text *strings.Reader
}

// Read implements fs.File.
func (f suffixedFile) Read(p []byte) (int, error) { return f.text.Read(p) }

// Makes returns an error unless a migration of the owner has these statements, blanks aside. It is for tests: what several
// owners have, each makes by a migration of its own.
func (o Owner) Makes(statements string) error {
	files, err := fs.Glob(o.Files, "*.sql")
	if err != nil {
		return fmt.Errorf("read migrations of %s: %w", o.Name, err)
	}
	want := strings.Join(strings.Fields(statements), " ")
	for _, file := range files {
		text, err := fs.ReadFile(o.Files, file)
		if err != nil {
			return fmt.Errorf("read migrations of %s: %w", o.Name, err)
		}
		if strings.Contains(strings.Join(strings.Fields(string(text)), " "), want) {
			return nil
		}
	}
	return fmt.Errorf("no migration of %s has: %s", o.Name, want)
}
