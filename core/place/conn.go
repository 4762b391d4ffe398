package place

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"sluice/core/db"
	"sluice/core/schema"
)

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

// Read returns what do reads in a place, as db.Read does. Its statements are those of In, and none may write. They end when the
// time of the server that is asked does, whatever context they have.
func Read[T any](ctx context.Context, p Place, from db.Position, do func(Conn) (T, error)) (T, error) {
	return db.Read(ctx, p.Copies, from, func(within context.Context, pool *sql.DB) (T, error) {
		within, cancel := context.WithCancel(within)
		defer cancel()
		return do(reading{p.In(pool), within})
	})
}

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

// reading is a Conn that refuses to write, whichever server it leads to, and ends with a context.
type reading struct {
	conn   Conn
	within context.Context //nolint:containedctx // it is that of one call, Read
}

// bound is a context that ends with that of the reading too.
func (r reading) bound(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(r.within, cancel)
	return ctx
}

// PrepareContext implements Conn.
func (r reading) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return r.conn.PrepareContext(r.bound(ctx), query)
}

// QueryContext implements Conn.
func (r reading) QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error) {
	return r.conn.QueryContext(r.bound(ctx), query, values...)
}

// QueryRowContext implements Conn.
func (r reading) QueryRowContext(ctx context.Context, query string, values ...any) *sql.Row {
	return r.conn.QueryRowContext(r.bound(ctx), query, values...)
}

var errReading = errors.New("a reading writes: use Write, because a reading may run twice")

// ExecContext implements Conn.
func (reading) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errReading
}
