package problem_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/problem"
)

// The guide says of every code what to do after it.
func TestGuideTellsOfEveryCode(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/integration.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, have []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]+) \\| (yes|no) \\| .+ \\|$").FindAllStringSubmatch(string(guide), -1) {
		told = append(told, fmt.Sprint(row[1:]))
	}
	for _, k := range problem.Kinds() {
		have = append(have, fmt.Sprint([]string{k.Code, fmt.Sprint(k.Status), map[bool]string{true: "yes", false: "no"}[k.Retryable]}))
	}
	slices.Sort(told)
	slices.Sort(have)
	if diff := cmp.Diff(have, told); diff != "" {
		t.Errorf("codes, their statuses and whether to repeat (-sluice +docs/integration.md):\n%s", diff)
	}
}
