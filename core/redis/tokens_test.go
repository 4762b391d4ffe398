package redis

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// A line that comes in small pieces is bounded as a whole.
func TestLongLinesAreBoundedInPieces(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1000, lineMax - 1} {
		var tk tokens
		sent, piece := 0, bytes.Repeat([]byte("x"), size)
		var err error
		for err == nil && sent < 2*lineMax {
			_, _, _, err = tk.next(piece)
			sent += size
		}
		if !errors.Is(err, errLongLine) || sent > lineMax+size {
			t.Errorf("pieces of %d: %v after %d bytes", size, err, sent)
		}
	}
}

// The bound of an answer is that of one: a connection that lives long may bring any number of them.
func TestAnswersAreBoundedOneByOne(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"texts":    "$1000000\r\n" + strings.Repeat("x", 1_000_000) + "\r\n",
		"arrays":   "*50000\r\n" + strings.Repeat(":1\r\n", 50_000),
		"messages": ">2\r\n+x\r\n$1000000\r\n" + strings.Repeat("x", 1_000_000) + "\r\n",
	} {
		g, size := newGuarded(nil), max(len(answer), elementBytes*50_000)
		for sent := 0; sent < 2*answerMax; sent += size {
			if answer[0] != '>' {
				g.owed.add(debt{kind: answered, count: 1})
			}
			if err := g.answers.check([]byte(answer)); err != nil {
				t.Errorf("%s: after %d bytes: %v", name, sent, err)
				break
			}
		}
	}
}
