package account

import (
	"errors"
	"regexp"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Phone is the number of a phone in its form of E.164, such as +4915112345678.
type Phone string

// phoneBytesMax is the length of the longest form of a number.
const phoneBytesMax = 40

var (
	countryForm = regexp.MustCompile(`^[A-Z]{2}$`)

	errPhone   = errors.New("want the number of a phone that takes short messages: with + and its country's code, or as people of the country write it and the country beside it")
	errCountry = errors.New("want a country as ISO 3166-1 has it, such as DE")
)

// ReadPhone reads a number in any form that people write: with blanks, brackets, dashes, dots and slashes, with + or, if its
// country is known, as it is dialled there. Digits are those of ASCII: what looks like a known number in other ones is none.
// A number that can have no short messages, or has an extension, is refused.
func ReadPhone(text, country string) (Phone, error) {
	if !isPhone(text) || country == "" && text[0] != '+' {
		return "", errPhone
	}
	parsed, err := phonenumbers.Parse(text, country)
	if err != nil || !phonenumbers.IsValidNumber(parsed) {
		return "", errPhone
	}
	switch phonenumbers.GetNumberType(parsed) { //nolint:exhaustive // the others take no short messages
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
		return Phone(phonenumbers.Format(parsed, phonenumbers.E164)), nil
	}
	return "", errPhone
}

// isPhone reports whether a text has nothing but digits and what people put between them.
func isPhone(text string) bool {
	if text == "" || len(text) > phoneBytesMax {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && !strings.ContainsRune(" -()./", rune(c)) && (c != '+' || i > 0) {
			return false
		}
	}
	return true
}

// readPhone is ReadPhone with problems.
func readPhone(text, country string) (Phone, error) {
	if country != "" && !countryForm.MatchString(country) {
		return "", malformed("/country", errCountry.Error())
	}
	phone, err := ReadPhone(text, country)
	if err != nil {
		return "", malformed("/phone", err.Error())
	}
	return phone, nil
}
