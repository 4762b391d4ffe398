package notify

import (
	"regexp"
	"strings"
	"time"
	"unicode"
)

// form shows a value of a message, unless the value is not what it should be.
type form func(value string) (shown string, ok bool)

var (
	codeForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{4,200}$`)
	digitsForm = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
)

// code is what somebody types, or what an operator's own text makes a link of.
func code(value string) (string, bool) { return value, codeForm.MatchString(value) }

// number is a small count.
func number(value string) (string, bool) { return value, digitsForm.MatchString(value) }

// instant is a time of RFC 3339. All languages show it alike, because the shop does not know where the reader is.
func instant(value string) (string, bool) {
	at, err := time.Parse(time.RFC3339, value)
	return at.UTC().Format("2006-01-02 15:04 UTC"), err == nil
}

const phraseMax = 100 // characters

// phrase is what other people chose, such as the name of a seller or of a device. It stays one line of some length, and
// nothing in it becomes a link: else an invitation could carry anybody's advertisement.
func phrase(value string) (string, bool) {
	var b strings.Builder
	count := 0
	for _, c := range value {
		switch {
		case count == phraseMax:
			return b.String(), true
		case isControl(c) || unicode.IsSpace(c):
			c = ' '
		case unicode.Is(unicode.Cf, c): // turns the direction of what follows, or is invisible
			continue
		}
		b.WriteRune(c)
		if strings.ContainsRune(".:/@\u3002\uff0e\uff61", c) { // the last three are dots of names too, as IDNA has it
			b.WriteRune(wordJoiner)
		}
		count++
	}
	return b.String(), strings.TrimSpace(b.String()) != ""
}

// wordJoiner cannot be seen, and ends what a reader of mail takes for an address.
const wordJoiner = '\u2060'

func isControl(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c == unicode.ReplacementChar
}
