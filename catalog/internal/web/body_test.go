package web

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestFaultsWithoutAType: not every error of a body has the type of what was to be read.
func TestFaultsWithoutAType(t *testing.T) {
	t.Parallel()
	if err := faultOf(&json.SemanticError{JSONPointer: "/a", Err: errors.New("no")}); err == nil || !strings.Contains(err.Error(), "want another value") {
		t.Errorf("%v", err)
	}
}
