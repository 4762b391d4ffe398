// Package moment owns how a time is read, wherever people or programs write one: exactly as RFC 3339 says.
// Go's own reading takes an hour of one digit, a comma before the fraction and offsets beyond a day, and refuses
// a small t or z.
package moment

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// bytesMax bounds the fraction, which has no bound of its own. It is far beyond any clock's.
const bytesMax = 64

// form is RFC 3339, but for the lengths of months, and without leap seconds: the clock that judges moments has
// none, and nobody knows those to come.
var form = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

var (
	errForm = errors.New("want a time in RFC 3339, such as 2026-01-31T18:00:00Z")
	// ErrRange tells that a time is outside of the years that are read.
	ErrRange = errors.New("want a time from 1970 to 9999, in UTC")
)

// Parse reads a time in RFC 3339 of the years 1970 to 9999 in UTC, to the millisecond: what is finer is cut
// off. The letters may be small, the fraction may have any number of digits, and -00:00 is UTC. A leap second
// (:60) is refused.
func Parse(text string) (time.Time, error) {
	if len(text) > bytesMax || !form.MatchString(text) {
		return time.Time{}, errForm
	}
	at, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil {
		return time.Time{}, errForm
	}
	at = at.UTC()
	if at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, ErrRange
	}
	return at.Truncate(time.Millisecond), nil
}
