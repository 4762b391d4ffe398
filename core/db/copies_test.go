package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// idleServer is a server whose connections do nothing.
type idleServer struct{ driver.Conn }

func (s idleServer) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (idleServer) Driver() driver.Driver                          { return nil }
func (idleServer) Close() error                                   { return nil }

// TestAReaderThatHangs: who waits for one of its connections, which all hang, is answered by the writer before it gives up.
func TestAReaderThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		writer, pool := sql.OpenDB(idleServer{}), sql.OpenDB(idleServer{})
		pool.SetMaxOpenConns(1)
		c := NewCopies("shop", writer, []*sql.DB{pool}, time.Second, slog.New(slog.DiscardHandler))
		defer func() { _ = c.Close() }()
		beat := &Beat{N: 1}
		c.latest.Store(beat)
		c.readers[0].seen.Store(beat)
		hangs, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = hangs.Close() }()
		ask := func(ctx context.Context) (asked []*sql.DB, err error) {
			return Read(ctx, c, 0, func(within context.Context, from *sql.DB) ([]*sql.DB, error) {
				asked = append(asked, from)
				conn, err := from.Conn(within)
				if err == nil {
					err = conn.Close()
				}
				return asked, err
			})
		}
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if asked, err := ask(brief); !errors.Is(err, context.DeadlineExceeded) || len(asked) != 1 {
			t.Errorf("who has no time: %d servers were asked, %v", len(asked), err)
		}
		began := time.Now()
		long, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if asked, err := ask(long); err != nil || len(asked) != 2 || asked[1] != writer {
			t.Errorf("%d servers were asked, %v", len(asked), err)
		}
		if took := time.Since(began); took != ReadTimeout {
			t.Errorf("it took %v", took)
		}
		if asked, err := ask(long); err != nil || len(asked) != 1 || asked[0] != writer || time.Since(began) != ReadTimeout {
			t.Errorf("once the reader is known to hang: %d servers were asked, %v", len(asked), err)
		}
	})
}
