package api

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/core/ids"
	"sluice/core/problem"
)

// scanner reads the bodies of the hot path, each one JSON document, as strictly as the API promises: UTF-8 without a
// byte order mark, each member known, at most once and in its own case, numbers as integer literals, nothing after
// the end. It allocates nothing unless a string has escapes that do not fit into its buffer.
//
// The first fault stops it; every method is harmless after that.
type scanner struct {
	rest    []byte
	err     error
	scratch []byte // decoded strings; each is valid until the next is read
}

// Faults that any member may have.
const (
	detailMissing = "the member is missing"
	detailTwice   = "the member is there twice"
)

var (
	errSyntax   = &problem.Problem{Kind: problem.Malformed, Detail: "the body is not one JSON object"}
	errEncoding = &problem.Problem{Kind: problem.Malformed, Detail: "the body is not UTF-8 without a byte order mark"}
)

func (s *scanner) begin(body []byte) {
	s.rest, s.err = body, checkEncoding(body)
}

// checkEncoding checks that a body is UTF-8 without a byte order mark.
func checkEncoding(body []byte) error {
	if !utf8.Valid(body) || bytes.HasPrefix(body, []byte("\ufeff")) {
		return errEncoding
	}
	return nil
}

// end checks that nothing follows the document.
func (s *scanner) end() error {
	s.blanks()
	if s.err == nil && len(s.rest) > 0 {
		s.err = errSyntax
	}
	return s.err
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *scanner) blanks() {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\n', '\r':
			s.rest = s.rest[1:]
		default:
			return
		}
	}
}

// accept reads one byte of punctuation, if it is there.
func (s *scanner) accept(c byte) bool {
	s.blanks()
	if s.err != nil || len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) want(c byte) {
	if !s.accept(c) {
		s.fail(errSyntax)
	}
}

// members are the members that an object may have, in the order of their bits in a set.
type members []string

// member reads the next member's name and the colon, as an index into known, or -1 at the object's
// end. The caller begins with an empty set, after want('{'), and reads each member's value.
func (s *scanner) member(known members, seen *uint) int {
	if s.accept('}') {
		return -1
	}
	if *seen != 0 {
		s.want(',')
	}
	name := s.text()
	s.want(':')
	if s.err != nil {
		return -1
	}
	for i, k := range known {
		if string(name) != k {
			continue
		}
		if *seen&(1<<i) != 0 {
			s.fail(malformed("/"+k, "%s", detailTwice))
			return -1
		}
		*seen |= 1 << i
		return i
	}
	s.fail(unknownMember(string(name)))
	return -1
}

// nameBytesMax bounds how much of an unknown member's name is told back. A part of one is no pointer.
const nameBytesMax = 64

func unknownMember(name string) *problem.Problem {
	p := malformed("", "unknown member %s", strconv.QuoteToASCII(name[:min(len(name), nameBytesMax)]))
	if len(name) <= nameBytesMax {
		p.Pointer = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name) // RFC 6901
	}
	return p
}

// null reads a null, if there is one.
func (s *scanner) null() bool {
	s.blanks()
	if s.err != nil || len(s.rest) < 4 || string(s.rest[:4]) != "null" {
		return false
	}
	s.rest = s.rest[4:]
	return true
}

// text reads a string.
func (s *scanner) text() []byte {
	s.want('"')
	if s.err != nil {
		return nil
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		case c == '\\':
			return s.escaped(i)
		case c < ' ':
			s.fail(errSyntax)
			return nil
		}
	}
	s.fail(errSyntax)
	return nil
}

// textOf reads the string that a member has to be.
func (s *scanner) textOf(pointer, want string) []byte {
	s.blanks()
	if len(s.rest) == 0 || s.rest[0] != '"' {
		s.fail(malformed(pointer, "want %s", want))
	}
	return s.text()
}

// escaped reads the rest of a string whose first plain bytes need no decoding.
func (s *scanner) escaped(plain int) []byte {
	out := s.scratch[:0]
	out = append(out, s.rest[:plain]...)
	b := s.rest[plain:]
	for len(b) > 0 {
		c := b[0]
		switch {
		case c == '"':
			s.rest, s.scratch = b[1:], out
			return out
		case c < ' ':
			s.fail(errSyntax)
			return nil
		case c != '\\':
			out = append(out, c)
			b = b[1:]
			continue
		}
		var n int
		if out, n = appendEscape(out, b); n == 0 {
			s.fail(errSyntax)
			return nil
		}
		b = b[n:]
	}
	s.fail(errSyntax)
	return nil
}

// appendEscape decodes the escape at the start of b and tells its length, 0 if it is none. A lone
// surrogate is none: it stands for no character.
func appendEscape(out, b []byte) (decoded []byte, length int) {
	if len(b) < 2 {
		return out, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return append(out, b[1]), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
	default:
		return out, 0
	}
	r, ok := hex4(b)
	if !ok {
		return out, 0
	}
	switch {
	case r < 0xD800 || r > 0xDFFF:
		return utf8.AppendRune(out, r), 6
	case r > 0xDBFF || len(b) < 12:
		return out, 0
	}
	low, ok := hex4(b[6:])
	if !ok || low < 0xDC00 || low > 0xDFFF {
		return out, 0
	}
	return utf8.AppendRune(out, (r-0xD800)<<10+(low-0xDC00)+0x10000), 12
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// id reads a string of digits between 1 and high.
func (s *scanner) id(pointer string, high int64) int64 {
	id, ok := ids.Parse(s.textOf(pointer, "a string of digits"))
	if s.err == nil && (!ok || id > high) {
		s.fail(malformed(pointer, "want a string of digits, 1 to %d, without leading zeros", high))
	}
	return id
}

// integer reads an integer literal between low and high: no fraction, no exponent, no plus sign.
func (s *scanner) integer(pointer string, low, high int64) int64 {
	s.blanks()
	n := 0
	for n < len(s.rest) && isNumeric(s.rest[n]) {
		n++
	}
	if s.err != nil || n == 0 {
		s.fail(malformed(pointer, "want an integer"))
		return 0
	}
	v, ok := parseInteger(s.rest[:n])
	if !ok || v < low || v > high {
		s.fail(malformed(pointer, "want an integer from %d to %d, without fraction or exponent", low, high))
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func isNumeric(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// parseInteger reads an integer of JSON. It refuses -0.
func parseInteger(text []byte) (int64, bool) {
	digits, sign := text, int64(1)
	if digits[0] == '-' {
		digits, sign = digits[1:], -1
	} else if len(digits) == 1 && digits[0] == '0' {
		return 0, true
	}
	v, ok := ids.Parse(digits)
	return sign * v, ok
}
