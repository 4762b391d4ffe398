package quota

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/limit"
)

func TestNotice(t *testing.T) {
	t.Parallel()
	me := sender{edge: edgeID{1, 2, 3, 4, 5, 6, 7, 8}, number: 300, heard: 1 << 40}
	want := [][]limit.Taken{{{ID: 7, Tokens: 3}, {ID: 1<<64 - 1, Tokens: tokensMax}}, nil, {{ID: 0, Tokens: 300}}}
	text := appendNotice(nil, me, want)
	if from, taken, err := readNotice(text, 3); err != nil || from != me || !cmp.Equal(taken, want) {
		t.Errorf("%x: %v, %v, %v", text, from, taken, err)
	}
	for n := range text {
		if _, _, err := readNotice(text[:n], 3); err == nil {
			t.Errorf("the first %d bytes are a notice", n)
		}
	}
	greeting := appendNotice(nil, me, make([][]limit.Taken, 1))
	for name, bad := range map[string][]byte{
		"bytes behind it":   append(appendNotice(nil, me, want), 0),
		"another version":   append([]byte{noticeVersion + 1}, text[1:]...),
		"too many keys":     binary.AppendUvarint(greeting[:len(greeting)-1:len(greeting)-1], keysMax+1),
		"too many tokens":   appendNotice(nil, me, [][]limit.Taken{{{ID: 7, Tokens: tokensMax + 1}}}),
		"too long a number": append(greeting[:len(greeting)-1:len(greeting)-1], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
	} {
		if _, _, err := readNotice(bad, 1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzReadNotice(f *testing.F) {
	f.Add(appendNotice(nil, sender{edge: edgeID{1}, number: 1}, [][]limit.Taken{{{ID: 7, Tokens: 3}}, nil}))
	f.Fuzz(func(t *testing.T, text []byte) {
		from, taken, err := readNotice(text, 2)
		if err != nil {
			return
		}
		again, takenAgain, err := readNotice(appendNotice(nil, from, taken), 2)
		if err != nil || again != from || !cmp.Equal(takenAgain, taken) {
			t.Errorf("%v became %v, %v", taken, takenAgain, err)
		}
	})
}
