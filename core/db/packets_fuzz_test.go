package db

import (
	"bytes"
	"context"
	"database/sql/driver"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// stored is a connection to a server that answers with stored packets, whatever it is asked.
type stored struct {
	net.Conn
	bodies [][]byte
	seq    byte
	begun  []byte // of a packet that was not read whole
}

func (s *stored) Write(packet []byte) (int, error) {
	if len(packet) > packetHead {
		s.seq = packet[packetHead-1] + 1
	}
	return len(packet), nil
}

func (s *stored) Read(chunk []byte) (int, error) {
	if len(s.begun) == 0 {
		if len(s.bodies) == 0 {
			return 0, io.EOF
		}
		n := len(s.bodies[0])
		s.begun = append([]byte{byte(n), byte(n >> 8), byte(n >> 16), s.seq}, s.bodies[0]...)
		s.bodies = s.bodies[1:]
		s.seq++
	}
	n := copy(chunk, s.begun)
	s.begun = s.begun[n:]
	return n, nil
}

func (s *stored) Close() error                     { return nil }
func (s *stored) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *stored) SetDeadline(time.Time) error      { return nil }
func (s *stored) SetReadDeadline(time.Time) error  { return nil }
func (s *stored) SetWriteDeadline(time.Time) error { return nil }

// FuzzServer lets a server answer with any packets, after a login or in it: the driver's panics end a call and never the process.
func FuzzServer(f *testing.F) {
	const (
		greeting = "\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\x0f\xa2\x2d\x02\x00\x08\x00\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00"
		good     = "\x00\x00\x00\x02\x00\x00\x00"
		end      = "\xfe\x00\x00\x02\x00"
		column   = "\x03def\x00\x00\x00\x01c\x00\x0c\x2d\x00\xff\x00\x00\x00\xfd\x00\x00\x00\x00\x00"
		cut      = "|" // between packets
	)
	login := []byte(greeting + cut + good + cut + "\x01" + cut + column + cut + end + cut + "\x0816777216" + cut + end + cut + good + cut + good + cut)
	f.Add(false, byte(0), []byte(greeting+cut+"\xfemysql_native_password\x00abcdefghijklmnopqrst\x00"+cut+good))
	f.Add(false, byte(0), []byte(greeting+cut+"\xfecaching_sha2_password\x00abcdefghijklmnopqrst\x00"+cut+"\x01\x04"+cut+"\x01-----BEGIN"))
	f.Add(true, byte(0), []byte("\x01"+cut+column+cut+end+cut+"\x01x"+cut+end))
	f.Add(true, byte(1), []byte("\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"+cut+column+cut+end+cut+column+cut+end+cut+"\x01"+cut+column+cut+end+cut+"\x00\x00\x01x"+cut+end))
	f.Add(true, byte(2), []byte("\xff\x10\x04#08004Too many connections"))
	f.Add(true, byte(3), []byte(good+cut+good))
	f.Fuzz(func(t *testing.T, loggedIn bool, call byte, answers []byte) {
		whole := answers
		if loggedIn {
			whole = slices.Concat(login, answers)
		}
		options := mysql.NewConfig()
		options.User, options.Passwd, options.Net, options.Addr, options.Logger = "u", "p", "tcp", "stored", &mysql.NopLogger{}
		options.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return newWire(ctx, &stored{bodies: bytes.Split(whole, []byte(cut))}), nil
		}
		inner, err := mysql.NewConnector(options)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := newConnector(inner, time.Minute, 1).Connect(t.Context())
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		s := conn.(told)
		switch call % 4 {
		case 0:
			read(s.QueryContext(t.Context(), "SELECT c", nil))
		case 1:
			prepared, err := s.PrepareContext(t.Context(), "SELECT ?")
			if err != nil {
				return
			}
			defer func() { _ = prepared.Close() }()
			read(prepared.(*toldStatement).QueryContext(t.Context(), make([]driver.NamedValue, max(0, prepared.NumInput()))))
		case 2:
			_ = s.Ping(t.Context())
		case 3:
			if tx, err := s.BeginTx(t.Context(), driver.TxOptions{}); err == nil {
				_ = tx.Commit()
			}
		}
	})
}

// read reads a row, and leaves the others to be skipped.
func read(rows driver.Rows, err error) {
	if err != nil {
		return
	}
	_ = rows.Next(make([]driver.Value, len(rows.Columns())))
	_ = rows.Close()
}

// FuzzPackets puts the same bytes through the check of a server's packets whole, and in parts: where parts end makes no difference.
func FuzzPackets(f *testing.F) {
	f.Add(byte(commandQuery), []byte("\x05\x00\x00\x01\xff\x10\x04no\x01\x00\x00\x02\xfe"))
	f.Add(byte(0), []byte("\x03\x00\x00\x00\xff\x10\x04"))
	f.Add(byte(commandPrepare), []byte("\x00\x00\x00\x01\x01\x00\x00\x02\x00"))
	f.Fuzz(func(t *testing.T, command byte, stream []byte) {
		hear := func(size int) error {
			var p packets
			if command > 0 {
				p.sent([]byte{1, 0, 0, 0, command})
			}
			for part := range slices.Chunk(stream, size) {
				if err := p.check(part); err != nil {
					return err
				}
			}
			return nil
		}
		whole := hear(1 << 20)
		for _, size := range []int{1, 3} {
			if said := hear(size); (said == nil) != (whole == nil) {
				t.Errorf("in chunks of %d: %v; whole: %v", size, said, whole)
			}
		}
	})
}
