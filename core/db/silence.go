package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"sluice/core/tally"
)

// wire is a network connection that remembers whether an answer did not come in time. For every connection that has
// ended, the driver says only that it is invalid.
type wire struct {
	net.Conn
	timedOut atomic.Bool
}

// wireKey is the key under which a context tells dial where to leave the wire.
type wireKey struct{}

// dial implements the driver's DialFunc.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn}
	if left, ok := ctx.Value(wireKey{}).(**wire); ok {
		*left = w
	}
	return w, nil
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.timedOut.Store(true)
	}
	return n, err
}

// SyscallConn implements syscall.Conn. By it the driver sees that a server has closed the connection.
func (w *wire) SyscallConn() (syscall.RawConn, error) {
	conn, ok := w.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}

// told returns an error of the driver, and adds that the server was silent if it was.
func (w *wire) told(err error) error {
	if w != nil && w.timedOut.Load() && errors.Is(err, mysql.ErrInvalidConn) {
		return fmt.Errorf("no answer in time: %w: %w", os.ErrDeadlineExceeded, err)
	}
	return err
}

// told is a connection whose errors say if the server was silent. Closing it returns no error. A server or a firewall
// may have dropped it while nobody needed it, and all that was done is done.
type told struct {
	session
	wire *wire
}

// Close implements driver.Conn.
func (t told) Close() error {
	_ = t.session.Close()
	return nil
}

// Ping implements driver.Pinger.
func (t told) Ping(ctx context.Context) error {
	tally.Add(ctx, 1)
	return t.wire.told(t.session.Ping(ctx))
}

// ExecContext implements driver.ExecerContext.
func (t told) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := t.session.ExecContext(ctx, query, args)
	count(ctx, err)
	return result, t.wire.told(err)
}

// QueryContext implements driver.QueryerContext.
func (t told) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := t.session.QueryContext(ctx, query, args)
	count(ctx, err)
	return t.rows(rows, err)
}

// count counts a call, unless the driver makes it by a prepared statement, which counts by itself.
func count(ctx context.Context, err error) {
	if !errors.Is(err, driver.ErrSkip) {
		tally.Add(ctx, 1)
	}
}

func (t told) rows(rows driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, t.wire.told(err)
	}
	return toldRows{rows, t.wire}, nil
}

// BeginTx implements driver.ConnBeginTx.
func (t told) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tally.Add(ctx, 1)
	if opts.Isolation != driver.IsolationLevel(sql.LevelDefault) {
		tally.Add(ctx, 1) // the driver sets it by a statement of its own
	}
	tx, err := t.session.BeginTx(ctx, opts)
	if err != nil {
		return nil, t.wire.told(err)
	}
	return toldTx{tx, ctx, t.wire}, nil
}

// PrepareContext implements driver.ConnPrepareContext.
func (t told) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	tally.Add(ctx, 1)
	prepared, err := t.session.PrepareContext(ctx, query)
	if err != nil {
		return nil, t.wire.told(err)
	}
	s, ok := prepared.(statement)
	if !ok {
		return nil, errors.Join(errIncomplete, prepared.Close())
	}
	return toldStatement{s, t}, nil
}

// statement has the methods of a prepared statement of the driver.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
}

type toldStatement struct {
	statement
	conn told
}

// ExecContext implements driver.StmtExecContext.
func (s toldStatement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	tally.Add(ctx, 1)
	result, err := s.statement.ExecContext(ctx, args)
	return result, s.conn.wire.told(err)
}

// QueryContext implements driver.StmtQueryContext.
func (s toldStatement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	tally.Add(ctx, 1)
	return s.conn.rows(s.statement.QueryContext(ctx, args))
}

type toldRows struct {
	driver.Rows
	wire *wire
}

// Next implements driver.Rows.
func (r toldRows) Next(dest []driver.Value) error { return r.wire.told(r.Rows.Next(dest)) }

type toldTx struct {
	driver.Tx
	ctx  context.Context // says only who counts the calls
	wire *wire
}

// Commit implements driver.Tx.
func (t toldTx) Commit() error {
	tally.Add(t.ctx, 1)
	return t.wire.told(t.Tx.Commit())
}

// Rollback implements driver.Tx.
func (t toldTx) Rollback() error {
	tally.Add(t.ctx, 1)
	return t.wire.told(t.Tx.Rollback())
}
