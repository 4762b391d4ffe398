package reconcile

import (
	"os"
	"strings"
	"testing"
)

// Each type of finding has a section that says where to look, how it is repaired, and names the step. Alerts lead to it.
func TestTypesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reconcile.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range Types {
		_, section, found := strings.Cut(string(page), "\n### "+string(typ)+"\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if !found || !strings.Contains(section, "*Repair:*") || !strings.Contains(section, "`"+repairs[typ]+"`") {
			t.Errorf("%s: its section does not say how %s repairs it", typ, repairs[typ])
		}
		if !strings.Contains(section, "*Look:*") && !strings.Contains(section, "*Do:*") {
			t.Errorf("%s: its section does not say where to look", typ)
		}
	}
}
