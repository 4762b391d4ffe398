package redis

import (
	"bytes"
	"errors"
)

const (
	// lineMax bounds a line: a status, an error, a number or a length.
	lineMax = 64 << 10
	// shortMax bounds the bodies that are looked at.
	shortMax = 1 << 10
)

var (
	errLongLine = errors.New("a line has no end")
	errLineEnd  = errors.New("a line does not end with CR LF")
)

// tokens cuts a stream of the protocol into lines and bodies, wherever its chunks end.
type tokens struct {
	part []byte // what earlier chunks had of a line, or of a body that is kept
	body int    // how much of a body is missing, with its line end; 0 while a line comes
	kept bool
}

// await makes a body of some length the next token. Only a short one can be kept.
func (t *tokens) await(length int, keep bool) {
	t.body, t.kept = length+len("\r\n"), keep && length <= shortMax
}

// next takes the next token from the beginning of a chunk that is not empty, or what there is of it. The token is valid
// until the next call, has no line end, and is empty if it is a body that is not kept.
func (t *tokens) next(chunk []byte) (token []byte, used int, whole bool, err error) {
	if t.body > 0 {
		used = min(t.body, len(chunk))
		t.body -= used
		whole = t.body == 0
		if !t.kept {
			return nil, used, whole, nil
		}
	} else if used = bytes.IndexByte(chunk, '\n') + 1; used > 0 {
		whole = true
	} else {
		used = len(chunk)
	}
	if len(t.part)+used > lineMax {
		return nil, 0, false, errLongLine
	}
	token = chunk[:used]
	if !whole || len(t.part) > 0 {
		t.part = append(t.part, token...)
		if !whole {
			return nil, used, false, nil
		}
		token, t.part = t.part, t.part[:0]
	}
	token, ended := bytes.CutSuffix(token, []byte("\r\n"))
	if !ended {
		return nil, 0, false, errLineEnd
	}
	return token, used, true, nil
}

// lengthOf reads a length of up to nine digits.
func lengthOf(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > 9 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, true
}
