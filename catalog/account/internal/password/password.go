// Package password has the rules of passwords: which ones are taken, how they are compared, and how they are kept. It bounds
// the memory that hashing takes.
package password

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
)

// Bounds of a password, in characters.
const (
	CharactersMin = 8
	CharactersMax = 128
)

// bytesMax bounds what is normalised: no character of a password has more than four bytes in UTF-8.
const bytesMax = 4 * CharactersMax

// Password is a password in the one form in which it is compared. It shows itself to nobody.
type Password struct{ text string }

// String implements fmt.Stringer.
func (Password) String() string { return "password" }

// GoString implements fmt.GoStringer.
func (Password) GoString() string { return "password" }

var (
	errLong = fmt.Errorf("want at most %d characters", CharactersMax)
	errForm = errors.New("want characters that can be typed: no control characters")
	errWeak = fmt.Errorf("want %d characters or more", CharactersMin)
	// ErrCommon says that a password is one that anybody would try first.
	ErrCommon = errors.New("want a password that is not among the common ones")
	// ErrAbout says that a password follows from what others know of its user.
	ErrAbout = errors.New("want a password that is not the address or a part of it")
)

// Read brings a password into the form OpaqueString of RFC 8265: keyboards write one character in several ways. The error
// quotes nothing.
func Read(text string) (Password, error) {
	if len(text) > bytesMax || utf8.RuneCountInString(text) > CharactersMax {
		return Password{}, errLong
	}
	same, err := precis.OpaqueString.String(text)
	if err != nil || !utf8.ValidString(text) {
		return Password{}, errForm
	}
	return Password{same}, nil
}

// Check refuses a new password that is short, common, or a word that others know of its user. It asks for nothing else: rules
// about digits and signs make people write the same few patterns.
func (p Password) Check(about ...string) error {
	if utf8.RuneCountInString(p.text) < CharactersMin {
		return errWeak
	}
	folded := fold(p.text)
	if _, common := commons()[folded]; common {
		return ErrCommon
	}
	for _, word := range about {
		if folded == fold(word) {
			return ErrAbout
		}
	}
	return nil
}

func fold(text string) string { return cases.Fold().String(text) }

// The list is that of Django 5.2 (django/contrib/auth/common-passwords.txt.gz, licence BSD-3-Clause, in common.license.txt), which Royce Williams made
// from leaked passwords. Those with fewer than CharactersMin characters, and the damaged ones, are left out.
//
//go:embed common.txt
var common string

var commons = sync.OnceValue(func() map[string]struct{} {
	all := make(map[string]struct{}, strings.Count(common, "\n"))
	for line := range strings.Lines(common) {
		all[fold(strings.TrimSuffix(line, "\n"))] = struct{}{}
	}
	return all
})
