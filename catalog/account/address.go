package account

import (
	"errors"
	"fmt"
	"regexp"

	"golang.org/x/text/language"

	"sluice/core/problem"
)

// Address is where something can be sent to. All of it is personal: it is kept sealed.
type Address struct {
	Recipient string   `json:"recipient"`
	Country   string   `json:"country"`            // ISO 3166-1, two letters
	Divisions []string `json:"divisions,omitzero"` // codes of the country's divisions, from the largest to the smallest
	Lines     []string `json:"lines"`              // from the smallest to the largest
	Postcode  string   `json:"postcode,omitzero"`
	Phone     string   `json:"phone,omitzero"` // E.164
}

// AddressesMax is how many addresses a user may have.
const AddressesMax = 50

const (
	divisionsMax     = 6
	linesMax         = 4
	lineBytesMax     = 300
	postcodeBytesMax = 20
)

var (
	divisionForm = regexp.MustCompile(`^[A-Z0-9]{1,12}(-[A-Z0-9]{1,6})?$`)
	postcodeForm = regexp.MustCompile(`^[A-Z0-9]+([ -][A-Z0-9]+)*$`)
	phoneForm    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

	errBlank = errors.New("it begins or ends with a blank")
	errEmpty = errors.New("it is empty")
)

// formed is the address in one form, or what is wrong with it.
func (a Address) formed() (Address, *problem.Problem) {
	var err error
	if a.Recipient, err = filled(a.Recipient, nameBytesMax); err != nil {
		return a, malformed("/recipient", err.Error())
	}
	if region, err := language.ParseRegion(a.Country); err != nil || !region.IsCountry() || region.String() != a.Country || region.Canonicalize() != region {
		return a, malformed("/country", "want a country as ISO 3166-1 has it: two capital letters")
	}
	if len(a.Divisions) > divisionsMax {
		return a, malformed("/divisions", fmt.Sprintf("want at most %d codes", divisionsMax))
	}
	for i, code := range a.Divisions {
		if !divisionForm.MatchString(code) {
			return a, malformed(fmt.Sprintf("/divisions/%d", i), "want a code of 1 to 12 capital letters and digits, such as 110101 or DE-BE")
		}
	}
	if len(a.Lines) < 1 || len(a.Lines) > linesMax {
		return a, malformed("/lines", fmt.Sprintf("want 1 to %d lines", linesMax))
	}
	lines := make([]string, len(a.Lines))
	for i := range lines {
		if lines[i], err = filled(a.Lines[i], lineBytesMax); err != nil {
			return a, malformed(fmt.Sprintf("/lines/%d", i), err.Error())
		}
	}
	a.Lines = lines
	if a.Postcode != "" && (len(a.Postcode) > postcodeBytesMax || !postcodeForm.MatchString(a.Postcode)) {
		return a, malformed("/postcode", fmt.Sprintf("want at most %d capital letters and digits, with single blanks or dashes between them", postcodeBytesMax))
	}
	if a.Phone != "" && !phoneForm.MatchString(a.Phone) {
		return a, malformed("/phone", "want a number such as +4915112345678: a plus and 7 to 15 digits")
	}
	return a, nil
}

// filled is a line that is not empty.
func filled(s string, bytesMax int) (string, error) {
	if s == "" {
		return "", errEmpty
	}
	return line(s, bytesMax)
}
