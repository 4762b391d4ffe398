package db

import (
	"context"
	"database/sql"
	"fmt"
)

const (
	selectLock = "SELECT GET_LOCK(CONCAT(?, ' ', MD5(DATABASE())), 0)"
	freeLock   = "DO RELEASE_LOCK(CONCAT(?, ' ', MD5(DATABASE())))"
)

// TryLock takes a lock of the connection's database, unless somebody else has it. The lock ends with unlock, or with the
// connection.
func TryLock(ctx context.Context, conn *sql.Conn, name string) (unlock func(), taken bool, err error) {
	var got sql.NullBool
	if err := conn.QueryRowContext(ctx, selectLock, name).Scan(&got); err != nil {
		return nil, false, fmt.Errorf("take the lock %q: %w", name, err)
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), freeLock, name) // else it ends with the connection
	}, got.Bool, nil
}
