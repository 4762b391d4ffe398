package account

import (
	"regexp"
	"slices"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Purpose is what a consent is for.
type Purpose string

// The purposes.
const (
	PurposeProfile   Purpose = "optional_profile" // to keep the optional members of a profile
	PurposeMarketing Purpose = "marketing"        // to send what was not asked for
	PurposePersonal  Purpose = "personalisation"  // to choose by what the user did what to show
)

var purposes = []Purpose{PurposeProfile, PurposeMarketing, PurposePersonal}

// Consent is what a user said about a purpose at a time. The last one of a purpose counts, and without any the answer is no.
type Consent struct {
	N       int32 // of the user, from 1 on
	Purpose Purpose
	Given   bool // or withdrawn
	Text    string
	Actor   ids.User
	Role    string
	At      time.Time
}

// consentsMax bounds the history of a user: whoever has so many can still withdraw, and not give again.
const consentsMax = 500

var textForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,19}$`)

func (c Consent) check() *problem.Problem {
	if !slices.Contains(purposes, c.Purpose) {
		return malformed("/purpose", "want optional_profile, marketing or personalisation")
	}
	if !textForm.MatchString(c.Text) {
		return malformed("/text_version", "want the version of the text that the user saw: 1 to 20 small letters, digits, dots, dashes and underscores")
	}
	return nil
}
