package redis

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// stored is a connection whose reads repeat one answer, and whose writes go nowhere.
type stored struct {
	net.Conn
	answer string
}

func (s stored) Read(chunk []byte) (int, error)  { return copy(chunk, s.answer), nil }
func (s stored) Write(chunk []byte) (int, error) { return len(chunk), nil }

// BenchmarkGuard passes the call of a vector and its answer through a guarded connection: what a vector costs more by it.
func BenchmarkGuard(b *testing.B) {
	bulk := func(n int) string { return fmt.Sprintf("$%d\r\n%s\r\n", n, strings.Repeat("x", n)) }
	command := []byte("*24\r\n$7\r\nEVALSHA\r\n" + strings.Repeat(bulk(40), 23))
	answer := "*7\r\n:1764298800000\r\n" + bulk(1) + bulk(0) + bulk(90) + bulk(15) + bulk(140) + ":17\r\n"
	g := newGuarded(stored{answer: answer})
	chunk := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Write(command); err != nil {
			b.Fatal(err)
		}
		if _, err := g.Read(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
