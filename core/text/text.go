// Package text says which characters people may use in texts for others, such as the reason of a change or the name of
// a sale, and how any text is shown. A text that moves the cursor, runs backwards or hides a part of itself misleads
// its reader.
package text

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain reports whether a character shows itself and changes nothing around it. Control characters
// (C0, DEL and C1), format characters such as bidirectional overrides, joiners and tags, separators of lines
// and paragraphs, and fillers that nobody sees do not.
func Plain(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7F
	}
	return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}

// Check reports what is wrong with a text that has to be 1 to bytesMax bytes of UTF-8 in plain characters.
func Check(s string, bytesMax int) error {
	if len(s) == 0 || len(s) > bytesMax {
		return fmt.Errorf("it has %d bytes in UTF-8: want 1 to %d", len(s), bytesMax)
	}
	for i, r := range s {
		if broken(s[i:], r) {
			return fmt.Errorf("byte %d is not UTF-8", i+1)
		}
		if !Plain(r) {
			return fmt.Errorf("byte %d begins a control or format character (%U)", i+1, r)
		}
	}
	return nil
}

// Escape shows a text on a terminal: what is not plain as JSON would escape it, and a byte that is not
// UTF-8 as \x and two digits.
func Escape(s string) string { return escape(s, "") }

// EscapeJSON escapes in JSON what is not plain. The document says the same as before.
func EscapeJSON(document []byte) []byte { return []byte(escape(string(document), "\n")) }

func escape(s, keep string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !Plain(r) }) {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	for i, r := range s {
		switch {
		case broken(s[i:], r):
			out = fmt.Appendf(out, `\x%02x`, s[i])
		case Plain(r) || strings.ContainsRune(keep, r):
			out = utf8.AppendRune(out, r)
		default:
			out = AppendEscaped(out, r)
		}
	}
	return string(out)
}

// AppendEscaped appends a character as a JSON string may have it, in ASCII.
func AppendEscaped(dst []byte, r rune) []byte {
	if r > 0xFFFF {
		r -= 0x10000
		return fmt.Appendf(dst, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// AppendJSON appends a text as a JSON string, which shows itself on a terminal too. Bytes that are not UTF-8 become the
// replacement character.
func AppendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case !Plain(r):
			dst = AppendEscaped(dst, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// broken reports whether s, whose first character is r, begins with a byte that is not UTF-8.
func broken(s string, r rune) bool {
	return r == utf8.RuneError && !strings.HasPrefix(s, string(utf8.RuneError))
}

// OfFile returns an error of the file system for people: the file and its fault, without the name of the system call.
func OfFile(err error) error {
	if at := new(fs.PathError); errors.As(err, &at) {
		return fmt.Errorf("%s: %w", at.Path, at.Err)
	}
	return err
}
