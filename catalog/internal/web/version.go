package web

import (
	"errors"
	"net/http"
	"strconv"

	"sluice/core/problem"
)

// Version is how often an object was changed: what ETag and If-Match have in quotes.
type Version int64

// String is the version as the header ETag has it.
func (v Version) String() string { return `"` + strconv.FormatInt(int64(v), 10) + `"` }

var errVersion = errors.New(`want the ETag of an answer, such as "3"`)

// UnmarshalText implements encoding.TextUnmarshaler. It reads one strong tag in the one form that String writes.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) < 3 {
		return errVersion
	}
	n, err := strconv.ParseInt(string(text[1:len(text)-1]), 10, 64)
	if err != nil || n < 1 || Version(n).String() != string(text) {
		return errVersion
	}
	*v = Version(n)
	return nil
}

// Refusals of changes that were made without looking, or of what has changed since.
var (
	versionMissing = problem.NewKind(problem.Kind{
		Code: "if_match_missing", Status: http.StatusPreconditionRequired, Title: "A change needs If-Match, with the ETag of what it changes.",
	})
	versionChanged = problem.NewKind(problem.Kind{
		Code: "changed_since", Status: http.StatusPreconditionFailed, Title: "It has changed since: look at it again.",
	})

	errVersionMissing = &problem.Problem{Kind: versionMissing}
	// ErrChanged refuses a change of what has another version than If-Match says.
	ErrChanged error = &problem.Problem{Kind: versionChanged}
)
