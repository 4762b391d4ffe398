package account

import (
	"fmt"
	"time"

	"golang.org/x/text/unicode/norm"

	"sluice/core/problem"
	"sluice/core/text"
)

// Profile is what a user tells about itself. All of it is personal: it is kept sealed. An empty member is not told.
type Profile struct {
	DisplayName string `json:"display_name,omitzero"`
	Birthday    string `json:"birthday,omitzero"` // 2006-01-02; by consent
	Gender      string `json:"gender,omitzero"`   // female, male or other; by consent
}

const (
	nameBytesMax  = 200
	birthdayFirst = 1900
)

// ProfileChange has the members of a profile that change. Nil stays as it is, and an empty text takes the member away.
type ProfileChange struct{ DisplayName, Birthday, Gender *string }

// optional reports whether a profile tells what it may only by consent.
func (p Profile) optional() bool { return p.Birthday != "" || p.Gender != "" }

// withoutOptional is the profile of a user who takes the consent back.
func (p Profile) withoutOptional() Profile { return Profile{DisplayName: p.DisplayName} }

// changed is the profile after a change, or what is wrong with that.
func (p Profile) changed(c ProfileChange, now time.Time) (Profile, *problem.Problem) {
	if c.DisplayName != nil {
		name, fault := line(*c.DisplayName, nameBytesMax)
		if fault != nil {
			return p, malformed("/display_name", fault.Error())
		}
		p.DisplayName = name
	}
	if c.Birthday != nil {
		if p.Birthday = *c.Birthday; p.Birthday != "" {
			at, err := time.Parse(time.DateOnly, p.Birthday)
			if err != nil || at.Year() < birthdayFirst || at.After(now) {
				return p, malformed("/birthday", fmt.Sprintf("want a day such as 1990-12-31, from %d to today", birthdayFirst))
			}
		}
	}
	if c.Gender != nil {
		if p.Gender = *c.Gender; p.Gender != "" && p.Gender != "female" && p.Gender != "male" && p.Gender != "other" {
			return p, malformed("/gender", "want female, male or other")
		}
	}
	return p, nil
}

// line brings a line of text that people wrote into one form (NFC), so that what looks the same is the same. An empty one is
// fine. The error never quotes it.
func line(s string, bytesMax int) (string, error) {
	if s == "" {
		return "", nil
	}
	if err := text.Check(s, bytesMax); err != nil {
		return "", err
	}
	s = norm.NFC.String(s)
	if first, last := s[0], s[len(s)-1]; first == ' ' || last == ' ' {
		return "", errBlank
	}
	return s, nil
}
