package db_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
)

// script is what a server answers: the bodies of its packets, by the beginning of what the client sends. Others it answers as a
// server does.
type script map[string][]string

const (
	okPacket  = "\x00\x00\x00\x02\x00\x00\x00"
	eofPacket = "\xfe\x00\x00\x02\x00"
	// column is a column c of texts.
	column     = "\x03def\x00\x00\x00\x01c\x00\x0c\x2d\x00\xff\x00\x00\x00\xfd\x00\x00\x00\x00\x00"
	noText     = "\xff\x10\x04"
	greeting   = "\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\x0f\xa2\x2d\x02\x00\x08\x00\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00"
	greet      = "" // the greeting, in a script
	login      = "login"
	scramble   = "scramble"
	publicKey  = "\x02"
	executions = "\x17"
	ping       = "\x0e"
)

// hostile starts a server that keeps to a script while it is not good. It returns its address, and the number of its connections.
func hostile(t *testing.T, good *atomic.Bool, says script) (addr string, live *atomic.Int64) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	live = new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			live.Add(1)
			go func() {
				defer live.Add(-1)
				defer conn.Close()
				serve(conn, good, says)
			}()
		}
	}()
	return listener.Addr().String(), live
}

func serve(conn net.Conn, good *atomic.Bool, says script) {
	answer := func(asked string, seq byte) bool {
		bodies := honest(asked)
		for begin, scripted := range says {
			if !good.Load() && (begin == asked || begin != greet && strings.HasPrefix(asked, begin)) {
				bodies = scripted
			}
		}
		var out strings.Builder
		for i, body := range bodies {
			out.WriteString(string([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), seq + byte(i)}))
			out.WriteString(body)
		}
		_, err := io.WriteString(conn, out.String())
		return err == nil
	}
	if !answer(greet, 0) {
		return
	}
	for first := true; ; first = false {
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		asked := string(body)
		switch {
		case first:
			asked = login
		case head[3] > 0 && len(body) == 32:
			asked = scramble
		}
		if !answer(asked, head[3]+1) {
			return
		}
	}
}

// honest answers as a server does: a query with one row.
func honest(asked string) []string {
	switch {
	case asked == greet:
		return []string{greeting}
	case strings.HasPrefix(asked, "\x03SELECT @@"):
		return []string{"\x01", column, eofPacket, "\x0816777216", eofPacket}
	case strings.HasPrefix(asked, "\x03SELECT"):
		return []string{"\x01", column, eofPacket, "\x01x", eofPacket}
	case strings.HasPrefix(asked, "\x16"): // a statement with one parameter and one column
		return []string{"\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00", column, eofPacket, column, eofPacket}
	case strings.HasPrefix(asked, executions):
		return []string{"\x01", column, eofPacket, "\x00\x00\x01x", eofPacket}
	case asked[0] == 0x01, asked[0] == 0x19: // quit, close a statement
		return nil
	}
	return []string{okPacket}
}

// use asks a server for everything that sluice asks the driver for.
func use(ctx context.Context, pool *sql.DB) error {
	var text string
	if err := pool.PingContext(ctx); err != nil {
		return err
	}
	if err := pool.QueryRowContext(ctx, "SELECT c").Scan(&text); err != nil {
		return err
	}
	if err := pool.QueryRowContext(ctx, "SELECT c WHERE ?", 1).Scan(&text); err != nil {
		return err
	}
	rows, err := pool.QueryContext(ctx, "SELECT c") //nolint:rowserrcheck // nobody reads these rows, Close skips them
	if err != nil {
		return err
	}
	if err := rows.Close(); err != nil { //nolint:sqlclosecheck // what Close skips is looked at
		return err
	}
	tx, err := pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE t"); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// TestHostileServer lets a server answer what no MySQL should. The process lives on, the call fails and says why, its connection
// ends, and the next one works.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	key, err := x509.MarshalPKIXPublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		t.Fatal(err)
	}
	otherKey := "\x01" + string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key}))
	const short, stops = "an answer is too short", "the driver stops"
	for name, c := range map[string]struct {
		says script
		want string
	}{
		"another protocol":             {script{greet: {"HTTP/1.1 400 Bad Request"}}, "does not greet as MySQL does"},
		"a greeting without a text":    {script{greet: {noText}}, "error 1040 has no text"},
		"a greeting of an error":       {script{greet: {"\xff"}}, short},
		"a short SQL state":            {script{greet: {"\xff\x10\x04#080"}}, "error 1040 has no text"},
		"a short greeting":             {script{greet: {greeting[:30]}}, "does not greet"},
		"a greeting of old":            {script{greet: {greeting[:23]}}, "does not greet"},
		"a login with nothing":         {script{login: {"\x00"}}, short},
		"a login without a text":       {script{login: {noText}}, "error 1040 has no text"},
		"another login with nothing":   {script{login: {"\xfemysql_native_password\x00short\x00"}}, short},
		"an encryption with nothing":   {script{login: {"\xfesha256_password\x00"}}, short},
		"a key of another kind":        {script{login: {"\xfecaching_sha2_password\x00abcdefghijklmnopqrst\x00"}, scramble: {"\x01\x04"}, publicKey: {otherKey}}, stops},
		"no bound of packets":          {script{"\x03SELECT @@": {"\x01", column, eofPacket, "\xfb", eofPacket}}, stops},
		"two bounds of packets":        {script{"\x03SELECT @@": {"\x02", column, column, eofPacket, "\x012\x012", eofPacket}}, stops},
		"settings without a text":      {script{"\x03SET NAMES": {noText}}, "error 1040 has no text"},
		"a ping with nothing":          {script{ping: {"\x00"}}, short},
		"a ping without a text":        {script{ping: {noText}}, "error 1040 has no text"},
		"endless columns":              {script{"\x03SELECT c": {"\xfe\x00\x00\x00\x00\x00\x01\x00\x00"}}, "columns"},
		"half a number of columns":     {script{"\x03SELECT c": {"\xfe\x00"}}, "columns"},
		"several results":              {script{"\x03SELECT c": {"\x00\x00\x00\x0a\x00\x00\x00"}}, "several results"},
		"a short column":               {script{"\x03SELECT c": {"\x01", column[:12]}}, stops},
		"a short end":                  {script{"\x03SELECT c": {"\x01", column, eofPacket, "\xfe"}}, stops},
		"a failure for a row":          {script{"\x03SELECT c": {"\x01", column, eofPacket, noText}}, stops},
		"a short row":                  {script{"\x03SELECT c": {"\x01", column, eofPacket, "\xfd"}}, stops},
		"a short end that nobody read": {script{"\x03SELECT c": {"\x01", column, eofPacket, "\x01x", "\xfe"}}, stops},
		"a short statement":            {script{"\x16": {"\x00\x01\x00"}}, short},
		"a short row of a statement":   {script{executions: {"\x01", column, eofPacket, "\x00"}}, stops},
		"a short result":               {script{executions: {"\x00\xfe"}}, short},
		"a begin without a text":       {script{"\x03START": {noText}}, "error 1040 has no text"},
		"an update without a text":     {script{"\x03UPDATE": {noText}}, "error 1040 has no text"},
		"a commit with nothing":        {script{"\x03COMMIT": {"\x00\xfc"}}, short},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var good atomic.Bool
			addr, live := hostile(t, &good, c.says)
			pool, err := db.Config{DSN: config.Secret("u:p@tcp(" + addr + ")/d"), ConnsMax: 1, Timeout: 10 * time.Second}.OpenUnchecked()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = pool.Close() })
			for range 3 {
				err := use(t.Context(), pool)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "does not keep to its protocol") {
					t.Errorf("%v, want %q", err, c.want)
				}
				if got := db.FailureOf(err); err != nil && got != db.FailureConnection {
					t.Errorf("the failure is %s", got)
				}
			}
			for end := time.Now().Add(10 * time.Second); live.Load() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d connections are open", live.Load())
				}
			}
			good.Store(true)
			if err := use(t.Context(), pool); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
}
