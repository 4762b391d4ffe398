package redis

import (
	"fmt"
	"slices"
	"testing"
)

// FuzzGuarded puts the same bytes through the guard whole, and one by one: no bytes make it panic, and where chunks end makes no
// difference. What the client sends is a command for each byte of asked.
func FuzzGuarded(f *testing.F) {
	commands := []string{
		"*1\r\n$3\r\nGET\r\n", "*1\r\n$4\r\nROLE\r\n", "*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n",
		"*1\r\n$11\r\nUNSUBSCRIBE\r\n*1\r\n$4\r\nPING\r\n", "*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$1\r\nm\r\n",
	}
	f.Add([]byte{0, 0}, []byte("+OK\r\n$3\r\nabc\r\n"))
	f.Add([]byte{1}, []byte("*2\r\n+master\r\n_\r\n"))
	f.Add([]byte{2, 3}, []byte(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n+subscribe\r\n+b\r\n:2\r\n+PONG\r\n"))
	f.Add([]byte{4, 0}, []byte("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n-MOVED 1 127.0.0.1:1\r\n"))
	f.Add([]byte{0}, []byte("%1\r\n+a\r\n~1\r\n#t\r\n$-1\r\n*-1\r\n=3\r\nxyz\r\n"))
	f.Fuzz(func(t *testing.T, asked, answer []byte) {
		hear := func(size int) (said string, left []debt) {
			g := newGuarded(nil)
			for _, command := range asked {
				for part := range slices.Chunk([]byte(commands[int(command)%len(commands)]), size) {
					if err := g.commands.note(part); err != nil {
						t.Fatal(err)
					}
				}
			}
			for part := range slices.Chunk(answer, size) {
				if err := g.answers.check(part); err != nil {
					return err.Error(), nil
				}
			}
			return "", g.owed.debts
		}
		whole, left := hear(1 << 20)
		for _, size := range []int{1, 3} {
			if said, still := hear(size); (said == "") != (whole == "") || fmt.Sprint(still) != fmt.Sprint(left) {
				t.Errorf("in chunks of %d: %q, still owed %v; whole: %q, %v", size, said, still, whole, left)
			}
		}
	})
}
