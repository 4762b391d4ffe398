package product

import (
	"fmt"
	"regexp"

	"sluice/core/problem"
	"sluice/core/text"
)

// Kind is what values of an attribute are.
type Kind string

// The kinds.
const (
	KindText    Kind = "text"
	KindNumber  Kind = "number" // in a unit, if the attribute has one
	KindChoice  Kind = "choice" // one of some
	KindBoolean Kind = "boolean"
)

// Attribute is what products of a category have, and of the categories below it.
type Attribute struct {
	Code     string   `json:"code"` // for programs: it never changes
	Kind     Kind     `json:"kind"`
	Unit     string   `json:"unit,omitempty"` // of numbers
	Required bool     `json:"required"`
	Names    Names    `json:"names"`
	Choices  []Choice `json:"choices,omitempty"`
}

// Choice is a value that an attribute may have.
type Choice struct {
	Code  string `json:"code"` // for programs: it never changes
	Names Names  `json:"names"`
}

const (
	unitBytesMax = 20
	choicesMax   = 100
)

var codeForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// check refuses what no category can have.
func (a *Attribute) check() *problem.Problem {
	if p := a.Names.check("/names"); p != nil {
		return p
	}
	if a.Unit != "" {
		if a.Kind != KindNumber {
			return malformed("/unit", "only numbers have a unit")
		}
		if err := text.Check(a.Unit, unitBytesMax); err != nil {
			return malformed("/unit", "%v", err)
		}
	}
	switch {
	case !codeForm.MatchString(a.Code):
		return malformed("", "the code of an attribute: want 1 to 40 lower-case letters, digits and _ that begin with a letter")
	case a.Kind != KindText && a.Kind != KindNumber && a.Kind != KindChoice && a.Kind != KindBoolean:
		return malformed("/kind", "want text, number, choice or boolean")
	case a.Kind == KindChoice && (len(a.Choices) == 0 || len(a.Choices) > choicesMax):
		return malformed("/choices", "want 1 to %d for an attribute of the kind choice", choicesMax)
	case a.Kind != KindChoice && len(a.Choices) > 0:
		return malformed("/choices", "only attributes of the kind choice have them")
	}
	seen := map[string]bool{}
	for i, c := range a.Choices {
		at := fmt.Sprintf("/choices/%d", i)
		if !codeForm.MatchString(c.Code) {
			return malformed(at+"/code", "want 1 to 40 lower-case letters, digits and _ that begin with a letter")
		}
		if seen[c.Code] {
			return malformed(at+"/code", "the choice is there twice")
		}
		seen[c.Code] = true
		if p := c.Names.check(at + "/names"); p != nil {
			return p
		}
	}
	return nil
}

// follows refuses a change by which values that products have would mean something else, or nothing.
func (a *Attribute) follows(before *Attribute) *problem.Problem {
	if a.Kind != before.Kind || a.Unit != before.Unit {
		return &problem.Problem{Kind: problem.WrongState, Detail: "an attribute keeps its kind and its unit, because products have values of it: make another one"}
	}
	have := map[string]bool{}
	for _, c := range a.Choices {
		have[c.Code] = true
	}
	for _, c := range before.Choices {
		if !have[c.Code] {
			return &problem.Problem{Kind: problem.WrongState, Detail: "an attribute keeps its choices, because products have them: add others, or change their names"}
		}
	}
	return nil
}
