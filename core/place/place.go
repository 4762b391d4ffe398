// Package place opens the databases of a shard.Map, and says where to read and write the rows of a logical shard. It owns
// the beats of these databases, and no row of the shop.
package place

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"sluice/core/db"
	"sluice/core/schema"
	"sluice/core/shard"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Owner owns the beats, which every database of a map has.
var Owner = func() schema.Owner {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is constant
	}
	return schema.Owner{Name: "place", Files: files, Table: "place_schema_version"}
}()

const (
	// LagMaxDefault is how far a replica may be behind to be read from.
	LagMaxDefault = 10 * time.Second
	// readTimeout bounds what a reader that hangs costs those who ask it before anybody knows.
	readTimeout = 2 * time.Second
)

// Options say which databases to open, and how.
type Options struct {
	Map    *shard.Map
	MySQL  db.Config     // but for the DSN: the map has those
	LagMax time.Duration // Defaults to LagMaxDefault. A higher one lets pages show what is older.
	Log    *slog.Logger
}

// Databases are all databases of a map.
type Databases struct {
	shards *shard.Map
	all    []*db.Copies
	log    *slog.Logger
}

// Open opens all databases, and refuses one that may forget what it committed. Readers need not answer. The caller
// migrates or checks the databases, runs Run, and closes them.
func Open(ctx context.Context, o Options) (*Databases, error) {
	if o.LagMax == 0 {
		o.LagMax = LagMaxDefault
	}
	d := &Databases{shards: o.Map, log: o.Log}
	for _, of := range o.Map.Databases() {
		copies, err := open(ctx, o, of)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("database %s: %w", of.Name, err), d.Close())
		}
		d.all = append(d.all, copies)
	}
	return d, nil
}

func open(ctx context.Context, o Options, of shard.Database) (*db.Copies, error) {
	mysql := o.MySQL
	mysql.DSN, mysql.DSNFile = of.DSN, ""
	writer, err := mysql.Open(ctx)
	if err != nil {
		return nil, err
	}
	mysql.Timeout = min(mysql.Timeout, readTimeout)
	var readers []*sql.DB
	for _, dsn := range of.Readers {
		mysql.DSN = dsn
		reader, err := mysql.OpenReader()
		if err != nil {
			return nil, errors.Join(err, db.NewCopies(of.Name, writer, readers, 0, nil).Close())
		}
		readers = append(readers, reader)
	}
	return db.NewCopies(of.Name, writer, readers, o.LagMax, o.Log), nil
}

// Close closes all databases.
func (d *Databases) Close() error {
	var err error
	for _, copies := range d.all {
		err = errors.Join(err, copies.Close())
	}
	return err
}

// Run keeps every database's readers usable, until ctx ends.
func (d *Databases) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, copies := range d.all {
		running.Go(func() { copies.Run(ctx) })
	}
	running.Wait()
}

// Migrate makes the tables of owners, and the beats, in all places of a kind.
func (d *Databases) Migrate(ctx context.Context, kind shard.Kind, owners ...schema.Owner) error {
	for _, copies := range d.all {
		if _, err := Owner.Migrate(ctx, copies.Writer(), d.log); err != nil {
			return err
		}
	}
	return d.each(kind, owners, func(p Place, o schema.Owner) error {
		_, err := o.Migrate(ctx, p.Writer(), d.log)
		return err
	})
}

// Check returns an error if tables of an owner are older than this program in a place of a kind, or if two databases of the
// map are the same one. Two names of one server look like two servers, and no address tells.
func (d *Databases) Check(ctx context.Context, kind shard.Kind, owners ...schema.Owner) error {
	named := map[[16]byte]string{}
	for i, copies := range d.all {
		if err := Owner.Check(ctx, copies.Writer()); err != nil {
			return fmt.Errorf("database %s: %w", d.name(i), err)
		}
		beat, err := db.ReadBeat(ctx, copies.Writer())
		if err != nil {
			return fmt.Errorf("database %s: %w", d.name(i), err)
		}
		if other, twice := named[beat.Identity]; twice {
			return fmt.Errorf("database %s is database %s under another name, or a copy of it: correct its DSN, or give a copy an identity of its own "+
				"(UPDATE database_beats SET identity = UNHEX(REPLACE(UUID(), '-', '')))", d.name(i), other)
		}
		named[beat.Identity] = d.name(i)
	}
	return d.each(kind, owners, func(p Place, o schema.Owner) error { return o.Check(ctx, p.Writer()) })
}

func (d *Databases) each(kind shard.Kind, owners []schema.Owner, do func(Place, schema.Owner) error) error {
	for _, p := range d.All(kind) {
		for _, owner := range owners {
			if err := do(p, owner.At(p.Suffix)); err != nil {
				return fmt.Errorf("place %s: %w", p.Name, err)
			}
		}
	}
	return nil
}

// At is the place of a logical shard.
func (d *Databases) At(s shard.Shard) Place { return d.of(d.shards.Place(s)) }

// All are all places of a kind, each once.
func (d *Databases) All(kind shard.Kind) []Place {
	var all []Place
	for _, p := range d.shards.Places(kind) {
		all = append(all, d.of(p))
	}
	return all
}

func (d *Databases) of(p shard.Place) Place {
	return Place{Copies: d.all[p.Database], Name: d.name(p.Database) + p.Suffix, Suffix: p.Suffix}
}

func (d *Databases) name(i int) string { return d.shards.Databases()[i].Name }

// Place is where rows are: a database, and a suffix of the names of its tables.
type Place struct {
	*db.Copies
	Name   string // for people, logs and errors
	Suffix string
}

// Conn is a database or a transaction.
type Conn interface {
	ExecContext(ctx context.Context, query string, values ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, values ...any) *sql.Row
}

// In returns a database or a transaction of the place for statements that are the same in all places: where they have
// schema.Suffix, the place's own is put.
func (p Place) In(conn Conn) Conn { return here{conn, p.Suffix} }

type here struct {
	conn   Conn
	suffix string
}

func (h here) sql(query string) string { return strings.ReplaceAll(query, schema.Suffix, h.suffix) }

// ExecContext implements Conn.
func (h here) ExecContext(ctx context.Context, query string, values ...any) (sql.Result, error) {
	return h.conn.ExecContext(ctx, h.sql(query), values...)
}

// PrepareContext implements Conn.
func (h here) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return h.conn.PrepareContext(ctx, h.sql(query))
}

// QueryContext implements Conn.
func (h here) QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error) {
	return h.conn.QueryContext(ctx, h.sql(query), values...)
}

// QueryRowContext implements Conn.
func (h here) QueryRowContext(ctx context.Context, query string, values ...any) *sql.Row {
	return h.conn.QueryRowContext(ctx, h.sql(query), values...)
}
