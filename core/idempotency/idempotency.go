// Package idempotency owns the form of an Idempotency-Key, as draft-ietf-httpapi-idempotency-key-header describes it:
// 1 to 128 visible ASCII characters, bare or as a quoted string. Both forms mean the same key. Edge, client and shop
// read and write keys with this package.
//
// It knows no scope of a key and keeps no answers. Each route gives its keys a meaning.
package idempotency

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/problem"
	"sluice/core/stock"
)

// KeyBytesMax is the length of the longest key.
const KeyBytesMax = stock.KeyBytesMax

// Rule describes a valid key, for people.
var Rule = fmt.Sprintf("want 1 to %d visible ASCII characters", KeyBytesMax)

// The refusals of a write because of its key. Requests share them, because nothing ever changes them.
var (
	ErrMissing = &problem.Problem{Kind: problem.KeyMissing}
	ErrInvalid = &problem.Problem{Kind: problem.KeyInvalid, Detail: Rule + ", bare or as a quoted string"}
	// ErrTwice also ends the connection, because another reader may have taken the other key.
	ErrTwice = &problem.Problem{Kind: problem.KeyInvalid, Detail: "the header came twice", Close: true}
)

// Valid reports whether a text is a key. The text has no quotes around it.
func Valid[T ~string | ~[]byte](key T) bool {
	if len(key) == 0 || len(key) > KeyBytesMax {
		return false
	}
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Parse reads the value of the header, which has no blanks around it. The key is a part of value, or of buf if it had
// quotes.
func Parse(value []byte, buf *[KeyBytesMax]byte) (key []byte, ok bool) {
	key = value
	if len(key) > 0 && key[0] == '"' {
		if key, ok = unquote(key, buf); !ok {
			return nil, false
		}
	}
	return key, Valid(key)
}

// Of returns the key of a request to a server on net/http. Its errors are problems.
func Of(h http.Header) (string, error) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", ErrMissing
	}
	if len(values) > 1 {
		return "", ErrTwice
	}
	var buf [KeyBytesMax]byte
	key, ok := Parse([]byte(values[0]), &buf)
	if !ok {
		return "", ErrInvalid
	}
	return string(key), nil
}

// Format returns the header's value for a valid key. A key that begins like a quoted string must be quoted.
func Format(key string) string {
	if !strings.HasPrefix(key, `"`) {
		return key
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// unquote reads a string of structured fields (RFC 9651), in which a backslash escapes quotes and backslashes, and
// nothing else.
func unquote(text []byte, buf *[KeyBytesMax]byte) ([]byte, bool) {
	n := 0
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch c {
		case '"':
			return buf[:n], i == len(text)-1
		case '\\':
			i++
			if i == len(text) || text[i] != '"' && text[i] != '\\' {
				return nil, false
			}
			c = text[i]
		}
		if n == len(buf) {
			return nil, false
		}
		buf[n] = c
		n++
	}
	return nil, false // no closing quote
}
