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

// wire is a network connection to a server that keeps to the protocol. It remembers whether an answer did not come in time, or
// should not have come. For every connection that has ended, the driver says only that it is invalid.
type wire struct {
	net.Conn
	packets  packets
	timedOut atomic.Bool
	fault    atomic.Pointer[faulty]
}

// faulty says what a server should not have sent.
type faulty struct{ err error }

// wireKey is the key under which a context tells dial where to leave the wire.
type wireKey struct{}

// dial implements the driver's DialFunc.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newWire(ctx, conn), nil
}

// newWire leaves the wire where the context says.
func newWire(ctx context.Context, conn net.Conn) *wire {
	w := &wire{Conn: conn}
	if left, ok := ctx.Value(wireKey{}).(**wire); ok {
		*left = w
	}
	return w
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if f := w.fault.Load(); f != nil {
		return 0, f.err
	}
	n, err := w.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.timedOut.Store(true)
	}
	if wrong := w.packets.check(p[:n]); wrong != nil {
		return 0, w.end(wrong)
	}
	return n, err
}

// Write implements net.Conn. The driver writes a packet at once.
func (w *wire) Write(p []byte) (int, error) {
	w.packets.sent(p)
	return w.Conn.Write(p)
}

// end ends a connection whose server does not keep to the protocol.
func (w *wire) end(why error) error {
	err := fmt.Errorf("mysql %s does not keep to its protocol: %w", w.RemoteAddr(), why)
	w.fault.CompareAndSwap(nil, &faulty{err})
	_ = w.Close()
	return err
}

// SyscallConn implements syscall.Conn. By it the driver sees that a server has closed the connection.
func (w *wire) SyscallConn() (syscall.RawConn, error) {
	conn, ok := w.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}

// stopped ends a connection over which the driver has panicked. The error is the one of a connection that is lost.
func (w *wire) stopped(said any) error {
	if w == nil { // before there was a connection
		return fmt.Errorf("the driver stops: %v: %w", said, mysql.ErrInvalidConn)
	}
	return fmt.Errorf("%w: %w", w.end(fmt.Errorf("the driver stops: %v", said)), mysql.ErrInvalidConn)
}

// told returns an error of the driver, and adds that the server was silent, or what it should not have sent.
func (w *wire) told(err error) error {
	switch {
	case w == nil || !errors.Is(err, mysql.ErrInvalidConn):
	case w.fault.Load() != nil:
		return fmt.Errorf("%w: %w", w.fault.Load().err, err)
	case w.timedOut.Load():
		return fmt.Errorf("no answer in time: %w: %w", os.ErrDeadlineExceeded, err)
	}
	return err
}

// told is a connection whose errors say if the server was silent. Closing it returns no error. A server or a firewall
// may have dropped it while nobody needed it, and all that was done is done.
type told struct {
	session
	wire *wire
	kept *kept
}

// survive is deferred by all that calls the driver. The driver panics over rows that are shorter than their columns say, and
// database/sql calls it on goroutines of its own too. The outcome of the call is unknown then, and the connection ends.
func (t told) survive(err *error) {
	if said := recover(); said != nil {
		*err = t.wire.stopped(said)
		_ = t.session.Close() // it is not used again
	}
}

// Close implements driver.Conn.
func (t told) Close() (err error) {
	defer t.survive(&err)
	_ = t.session.Close()
	return nil
}

// Ping implements driver.Pinger.
func (t told) Ping(ctx context.Context) (err error) {
	defer t.survive(&err)
	tally.Add(ctx, 1)
	return t.wire.told(t.session.Ping(ctx))
}

// ExecContext implements driver.ExecerContext.
func (t told) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	defer t.survive(&err)
	result, err = t.session.ExecContext(ctx, query, args)
	count(ctx, err)
	return result, t.wire.told(err)
}

// QueryContext implements driver.QueryerContext.
func (t told) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	defer t.survive(&err)
	rows, err = t.session.QueryContext(ctx, query, args)
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
	return toldRows{rows, t}, nil
}

// BeginTx implements driver.ConnBeginTx.
func (t told) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	defer t.survive(&err)
	tally.Add(ctx, 1)
	if opts.Isolation != driver.IsolationLevel(sql.LevelDefault) {
		tally.Add(ctx, 1) // the driver sets it by a statement of its own
	}
	if tx, err = t.session.BeginTx(ctx, opts); err != nil {
		return nil, t.wire.told(err)
	}
	return toldTx{tx, ctx, t}, nil
}

// PrepareContext implements driver.ConnPrepareContext. It takes a statement that is kept. To prepare one counts as no call: a connection
// does it once.
func (t told) PrepareContext(ctx context.Context, query string) (prepared driver.Stmt, err error) {
	defer t.survive(&err)
	if s := t.kept.take(query); s != nil {
		return s, nil
	}
	prepared, err = t.session.PrepareContext(ctx, query)
	if Answer(err) == AnswerPrepared { // those that are kept take the room of others
		t.kept.end()
		prepared, err = t.session.PrepareContext(ctx, query)
	}
	if err != nil {
		return nil, t.wire.told(err)
	}
	s, ok := prepared.(statement)
	if !ok {
		return nil, errors.Join(errIncomplete, prepared.Close())
	}
	return &toldStatement{statement: s, conn: t, query: query}, nil
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
	conn   told
	query  string
	failed bool // the server may not know it any more, or the connection has ended
}

// Close implements driver.Stmt. The connection keeps the statement.
func (s *toldStatement) Close() (err error) {
	defer s.conn.survive(&err)
	if out := s.conn.kept.put(s); out != nil {
		return out.statement.Close()
	}
	return nil
}

// ExecContext implements driver.StmtExecContext.
func (s *toldStatement) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	s.failed = true // also if the driver panics
	defer s.conn.survive(&err)
	tally.Add(ctx, 1)
	result, err = s.statement.ExecContext(ctx, args)
	s.failed = err != nil
	return result, s.conn.wire.told(err)
}

// QueryContext implements driver.StmtQueryContext.
func (s *toldStatement) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	s.failed = true // also if the driver panics
	defer s.conn.survive(&err)
	tally.Add(ctx, 1)
	rows, err = s.statement.QueryContext(ctx, args)
	s.failed = err != nil
	return s.conn.rows(rows, err)
}

type toldRows struct {
	driver.Rows
	conn told
}

// Next implements driver.Rows.
func (r toldRows) Next(dest []driver.Value) (err error) {
	defer r.conn.survive(&err)
	return r.conn.wire.told(r.Rows.Next(dest))
}

// Close implements driver.Rows. It reads what nobody has read.
func (r toldRows) Close() (err error) {
	defer r.conn.survive(&err)
	return r.Rows.Close()
}

type toldTx struct {
	driver.Tx
	ctx  context.Context // says only who counts the calls
	conn told
}

// Commit implements driver.Tx.
func (t toldTx) Commit() (err error) {
	defer t.conn.survive(&err)
	tally.Add(t.ctx, 1)
	return t.conn.wire.told(t.Tx.Commit())
}

// Rollback implements driver.Tx.
func (t toldTx) Rollback() (err error) {
	defer t.conn.survive(&err)
	tally.Add(t.ctx, 1)
	return t.conn.wire.told(t.Tx.Rollback())
}
