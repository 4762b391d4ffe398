package db

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// waitsOf is how many pings come in the time for which a server keeps a connection that it hears nothing of.
const waitsOf = 3

// KeepAwake pings a connection that its caller keeps for long and seldom uses, because the server closes connections that it
// hears nothing of: a lock would end with it. It pings until stop, or until a ping fails; the caller's next statement fails then
// too. Whoever uses the connection meanwhile holds busy.
func KeepAwake(ctx context.Context, conn *sql.Conn, busy sync.Locker) (stop func(), err error) {
	var seconds int64
	if err := conn.QueryRowContext(ctx, "SELECT @@SESSION.wait_timeout").Scan(&seconds); err != nil {
		return nil, ReadError("how long a connection may wait", "", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		ticks := time.NewTicker(min(connIdle, time.Duration(seconds)*time.Second/waitsOf))
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			busy.Lock()
			err := conn.PingContext(context.WithoutCancel(ctx)) // cut off, it would take the connection with it
			busy.Unlock()
			if err != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}, nil
}
