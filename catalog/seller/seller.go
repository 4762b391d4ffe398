// Package seller owns the sellers of the shop, which are its tenants: what they apply with, who reviews that, their states and
// their people, and the keys of their systems. Its statements give these their own seller's rows only. It asks packages account and assess.
package seller

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/text"
)

// Seller is a seller as the people see it who have to do with it. It has nothing personal.
type Seller struct {
	ID        ids.Seller `json:"seller_id"`
	State     State      `json:"state"`
	AppliedAt time.Time  `json:"applied_at"`
	Version   int64      `json:"version"` // how often it was changed
}

// Application is what a seller applies with. All of it is sealed.
type Application struct {
	LegalName string     `json:"legal_name"`
	LicenceNo string     `json:"licence_no"`
	Address   Address    `json:"address"`
	Documents []Document `json:"documents"`
}

// Address is where a seller is.
type Address struct {
	Country   string   `json:"country"` // ISO 3166-1
	Divisions []string `json:"divisions,omitempty"`
	Text      string   `json:"text"`
}

// Document names a file that is kept elsewhere.
type Document struct {
	Kind   string `json:"kind"`
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

const (
	lineBytesMax = 200
	divisionsMax = 4
	documentsMax = 10
)

var (
	countryForm  = regexp.MustCompile(`^[A-Z]{2}$`)
	divisionForm = regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]{0,15}$`)
	licenceForm  = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9./ -]{0,62}[A-Za-z0-9])?$`)
	kindForm     = regexp.MustCompile(`^(?:licence|identity|address|other)$`)
	keyForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,2}$`)
	sha256Form   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// check refuses what nobody can apply with. The refusal quotes nothing.
func (a *Application) check() *problem.Problem {
	for _, line := range []struct{ pointer, text string }{{"/legal_name", a.LegalName}, {"/address/text", a.Address.Text}} {
		if err := text.Check(line.text, lineBytesMax); err != nil {
			return malformed(line.pointer, "%v", err)
		}
	}
	switch {
	case !licenceForm.MatchString(a.LicenceNo):
		return malformed("/licence_no", "want 1 to 64 letters, digits and . / - between them")
	case !countryForm.MatchString(a.Address.Country):
		return malformed("/address/country", "want a code of two letters")
	case len(a.Address.Divisions) > divisionsMax:
		return malformed("/address/divisions", "want at most %d", divisionsMax)
	case len(a.Documents) == 0 || len(a.Documents) > documentsMax:
		return malformed("/documents", "want 1 to %d", documentsMax)
	}
	for i, code := range a.Address.Divisions {
		if !divisionForm.MatchString(code) {
			return malformed(fmt.Sprintf("/address/divisions/%d", i), "want a code of a division, such as DE-BE")
		}
	}
	for i, d := range a.Documents {
		at := fmt.Sprintf("/documents/%d/", i)
		switch {
		case !kindForm.MatchString(d.Kind):
			return malformed(at+"kind", "want licence, identity, address or other")
		case !keyForm.MatchString(d.Key):
			return malformed(at+"key", "want one to three words with / between them, and no address")
		case !sha256Form.MatchString(d.SHA256):
			return malformed(at+"sha256", "want 64 hexadecimal digits")
		}
	}
	return nil
}

func malformed(pointer, want string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.Malformed, Pointer: pointer, Detail: fmt.Sprintf(want, values...)}
}

// The kinds of refusals.
var (
	unknownSeller = problem.NewKind(problem.Kind{Code: "unknown_seller", Status: http.StatusNotFound, Title: "There is no such seller."})
	ownSeller     = problem.NewKind(problem.Kind{
		Code: "own_seller", Status: http.StatusForbidden, Title: "Nobody decides about a seller in which they are somebody.",
	})
	reviewClaimed = problem.NewKind(problem.Kind{
		Code: "review_claimed", Status: http.StatusConflict, Title: "Somebody else has claimed the review.",
	})
	secondReviewer = problem.NewKind(problem.Kind{
		Code: "second_reviewer", Status: http.StatusForbidden, Title: "Another person has to approve it.",
	})

	errUnknown   = &problem.Problem{Kind: unknownSeller}
	errForbidden = &problem.Problem{Kind: problem.Forbidden, Detail: "only an owner of the seller may do this"}
	errOwn       = &problem.Problem{Kind: ownSeller}
	errClaimed   = &problem.Problem{Kind: reviewClaimed}
	errSecond    = &problem.Problem{Kind: secondReviewer}
)

// wrongState refuses what the state of a seller does not allow. No seller's state is a secret to who is told.
func wrongState(detail string, values ...any) *problem.Problem {
	return &problem.Problem{Kind: problem.WrongState, Detail: fmt.Sprintf(detail, values...)}
}
