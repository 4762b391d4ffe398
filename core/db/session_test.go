package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
)

// refusing is a connection whose server refuses the settings of a session.
type refusing struct {
	session
	closed int
}

var errSetting = errors.New("unknown system variable")

func (r *refusing) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return nil, errSetting
}

func (r *refusing) Close() error {
	r.closed++
	return nil
}

// Connect implements driver.Connector.
func (r *refusing) Connect(context.Context) (driver.Conn, error) { return r, nil }

// Driver implements driver.Connector.
func (r *refusing) Driver() driver.Driver { return nil }

// TestRefusedSessionIsClosed: each try to connect to such a server would keep a connection of it otherwise.
func TestRefusedSessionIsClosed(t *testing.T) {
	t.Parallel()
	server := &refusing{}
	conn, err := newConnector(server, time.Second, 1).Connect(t.Context())
	if conn != nil || !errors.Is(err, errSetting) || server.closed != 1 {
		t.Errorf("connection %v, error %v, closed %d times", conn, err, server.closed)
	}
}

// silent is a connector of the driver whose server answers nothing, in a process that is too busy to run the end of a
// context in time.
type silent struct{ *refusing }

// Connect implements driver.Connector.
func (silent) Connect(ctx context.Context) (driver.Conn, error) {
	w := &wire{}
	w.timedOut.Store(true)
	*ctx.Value(wireKey{}).(**wire) = w
	return nil, mysql.ErrInvalidConn
}

// TestSilenceIsToldBeforeTheContextEnds: the timeout of the driver may be seen first, and says less.
func TestSilenceIsToldBeforeTheContextEnds(t *testing.T) {
	t.Parallel()
	_, err := newConnector(silent{}, time.Hour, 1).Connect(t.Context())
	if server := new(config.ServerError); !config.Silent(err) || !errors.As(err, &server) || server.Server != "MySQL" {
		t.Errorf("a server that answers nothing: %v", err)
	}
}
