package servicetest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
)

// Impatient opens a database by a connector, whose server keeps silent connections for a second only. The test ends with the
// database closed.
func Impatient(t testing.TB, c driver.Connector, conns int) *sql.DB {
	t.Helper()
	pool := sql.OpenDB(impatient{c}) //nolint:forbidigo // the connector is one of core/db
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

type impatient struct{ driver.Connector }

var errNoExecer = errors.New("the driver lacks what database/sql knows of")

// Connect implements driver.Connector.
func (i impatient) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := i.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	execer, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errNoExecer, conn.Close())
	}
	if _, err := execer.ExecContext(ctx, "SET SESSION wait_timeout = 1", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
