package db_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestSilenceIsTold stalls the way to a server at each of its answers in turn. The driver calls each connection
// invalid; what is told is that no answer came in time.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	options, err := mysql.ParseDSN(servicetest.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	type call struct {
		stall func()
		conn  *sql.Conn
		ctx   context.Context
	}
	for name, use := range map[string]func(call) error{
		"statement": func(c call) error {
			c.stall()
			_, err := c.conn.ExecContext(c.ctx, "SELECT 1")
			return err
		},
		"prepared statement": func(c call) error {
			statement, err := c.conn.PrepareContext(c.ctx, "DO ?")
			if err != nil {
				return err
			}
			defer func() { _ = statement.Close() }() // on a connection that has ended
			c.stall()
			_, err = statement.ExecContext(c.ctx, 1)
			return err
		},
		"preparing": func(c call) error {
			c.stall()
			return c.conn.QueryRowContext(c.ctx, "SELECT ?", 1).Scan(new(int))
		},
		"query": func(c call) error {
			c.stall()
			return c.conn.QueryRowContext(c.ctx, "SELECT 1").Scan(new(int))
		},
		"rows": func(c call) error {
			rows, err := c.conn.QueryContext(c.ctx, "SELECT REPEAT('x', 1000) FROM seq_1_to_100000")
			if err != nil {
				return err
			}
			defer rows.Close()
			c.stall()
			for rows.Next() {
			}
			return rows.Err()
		},
		"ping": func(c call) error {
			c.stall()
			return c.conn.PingContext(c.ctx)
		},
		"begin": func(c call) error {
			c.stall()
			_, err := c.conn.BeginTx(c.ctx, nil)
			return err
		},
		"commit": func(c call) error {
			tx, err := c.conn.BeginTx(c.ctx, nil)
			if err != nil {
				return err
			}
			c.stall()
			return tx.Commit()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link := servicetest.NewLink(t, options.Addr)
			through := options.Clone()
			through.Addr = link.Addr
			pool, err := db.Config{DSN: config.Secret(through.FormatDSN()), ConnsMax: 1, Timeout: 2 * time.Second}.OpenUnchecked()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = pool.Close() })
			conn, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = use(call{link.Stall, conn, t.Context()})
			if !errors.Is(err, os.ErrDeadlineExceeded) || !config.Silent(err) || !strings.Contains(err.Error(), "no answer in time") {
				t.Errorf("the server was silent: %v", err)
			}
			if got := db.FailureOf(err); got != db.FailureConnection {
				t.Errorf("the failure is %s", got)
			}
		})
	}
}

// TestLostConnectionIsNoSilence resets a connection: nobody waited for an answer.
func TestLostConnectionIsNoSilence(t *testing.T) {
	t.Parallel()
	pool, link := overLink(t)
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	link.Cut()
	if err := tx.Commit(); err == nil || config.Silent(err) {
		t.Errorf("commit on a connection that was reset: %v", err)
	}
}

// TestConnectionsOfARestartedServerAreLeft: the pool has connections that the server has closed. None of them is written
// to, so the next statement, which may be no query, does not fail.
func TestConnectionsOfARestartedServerAreLeft(t *testing.T) {
	t.Parallel()
	server := servicetest.PrivateMariaDB(t)
	if err := server.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	pool, err := db.Config{DSN: config.Secret(server.DSN("shop")), ConnsMax: 1, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	if _, err := pool.ExecContext(t.Context(), "CREATE TABLE units (n INT PRIMARY KEY) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.ExecContext(t.Context(), "INSERT INTO units VALUES (1)"); err != nil {
		t.Errorf("the first statement after the restart: %v", err)
	}
}
