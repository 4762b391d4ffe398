package cli_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// A program that imports all that the shop may import, as the linter has it, links neither the scripts and who runs
// them, nor fasthttp, nor another service.
func TestShopLinksNeitherScriptsNorFasthttp(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?s)\n        shop:\n.*?\n          allow:\n(.*?)\n          deny:`).FindSubmatch(rules)
	if rule == nil {
		t.Fatal(".golangci.yml has no list of what the shop may import")
	}
	var may []string
	for _, line := range regexp.MustCompile(`- (sluice/core/[a-z/]+)\$`).FindAllStringSubmatch(string(rule[1]), -1) {
		may = append(may, line[1])
	}
	if lines := strings.Count(string(rule[1]), "- "); len(may) != lines-1 { // but for the shop's own packages
		t.Fatalf("%d of %d lines are packages of core that end in $: %s", len(may), lines, rule[1])
	}
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, may...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	linked := strings.Fields(string(out))
	forbidden := regexp.MustCompile(`^(sluice/(lua|edge|persister|cli|bench)|.*/redisstock|github\.com/(valyala|fasthttp)/(fasthttp|router))(/|$)`)
	for _, path := range linked {
		if forbidden.MatchString(path) {
			t.Errorf("what the shop may import links %s", path)
		}
	}
	for _, path := range []string{"net/http", "sluice/core/client", "sluice/core/problem", "sluice/core/idempotency", "sluice/core/limit"} {
		if !strings.Contains(string(out), path+"\n") {
			t.Errorf("what the shop may import does not link %s", path)
		}
	}
}
