package api

import (
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestCodesAreThoseOfTheDocument holds codeTable to the API document: clients rely on the words.
func TestCodesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../docs/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var documented, known []string
	for _, word := range doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		documented = append(documented, word.(string))
	}
	for c, e := range codeTable {
		if e.word == "" || e.title == "" || e.status < 400 || e.status > 599 {
			t.Errorf("code %d: %+v", c, e)
		}
		if e.retryable != (e.retryAfter > 0 || e.word == "request_timeout") {
			t.Errorf("%s: retryable %v, after %d s", e.word, e.retryable, e.retryAfter)
		}
		known = append(known, e.word)
	}
	slices.Sort(documented)
	slices.Sort(known)
	if !slices.Equal(documented, known) {
		t.Errorf("documented: %v\nknown:      %v", documented, known)
	}
	if len(slices.Compact(slices.Clone(known))) != len(known) {
		t.Errorf("a word is there twice: %v", known)
	}
}
