// Package account owns the users of the shop, and decides who of them may do what. It asks no other package.
package account

import (
	"net/http"
	"regexp"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// State is the state of a user.
type State string

// The states.
const (
	StateActive State = "active"
	StateLocked State = "locked" // may do nothing until somebody unlocks it
	StateErased State = "erased" // has nothing but its id
)

// Home says where a user is at home, and how to speak to the user.
type Home struct {
	Region string // where the data of the user are: a word of the shop. It never changes
	Locale string // a language, and where it is spoken: de or de-DE
}

// User is a person whom the shop knows.
type User struct {
	ID ids.User
	Home

	State     State
	CreatedAt time.Time
}

var (
	regionForm = regexp.MustCompile(`^[a-z][a-z0-9-]{1,15}$`)
	localeForm = regexp.MustCompile(`^[a-z]{2}(-[A-Z]{2})?$`)
)

// check refuses what is no region or no locale.
func (h Home) check() *problem.Problem {
	switch {
	case !regionForm.MatchString(h.Region):
		return malformed("/region", "want 2 to 16 lower-case letters, digits and dashes that begin with a letter")
	case !localeForm.MatchString(h.Locale):
		return malformed("/locale", "want a language such as de, or one of a country such as de-DE")
	}
	return nil
}

func malformed(pointer, want string) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: want}
}

// unknownUser is the kind of the refusals about users who are not there.
var unknownUser = problem.NewKind(problem.Kind{Code: "unknown_user", Status: http.StatusNotFound, Title: "There is no such user."})

var (
	errUnknown = &problem.Problem{Kind: unknownUser}
	errErased  = &problem.Problem{Kind: problem.WrongState, Detail: "the user was erased: nobody has this id again"}
	errOther   = &problem.Problem{Kind: problem.WrongState, Detail: "the user is known with another region or locale"}
)
