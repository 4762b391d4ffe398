package db_test

import (
	"database/sql"
	"sync"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
)

// TestKeepAwake keeps a connection for longer than its server waits for silent ones, and then uses it.
func TestKeepAwake(t *testing.T) {
	t.Parallel()
	c, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 2, Timeout: time.Minute}.Connector()
	if err != nil {
		t.Fatal(err)
	}
	pool := servicetest.Impatient(t, c, 3)
	hold := func() (*sql.Conn, string) {
		t.Helper()
		conn, err := pool.Conn(t.Context())
		var id string
		if err == nil {
			err = conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return conn, id
	}
	awake, _ := hold()
	defer awake.Close()
	asleep, id := hold()
	defer asleep.Close()
	stop, err := db.KeepAwake(t.Context(), awake, &sync.Mutex{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; { // until the server has closed the other one
		time.Sleep(100 * time.Millisecond)
		err := pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ?", id).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := awake.PingContext(t.Context()); err != nil {
		t.Errorf("a connection that was kept awake: %v", err)
	}
}
