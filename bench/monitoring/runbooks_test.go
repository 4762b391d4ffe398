package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	sections = []string{"Meaning", "Look", "Do", "Over"}
	section  = regexp.MustCompile(`(?m)^## (.+)$`)
	inPanel  = regexp.MustCompile(`\*(\w+)\s→\s([^*]+)\*`)
)

// TestRunbooks: each alert has its page, each page its alert; a page has its four sections, and the panels that it sends
// people to exist. Tests of the command line hold its commands, metrics and links.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	alerts := map[string][]string{} // severities, by name
	for _, r := range rules(t) {
		if r.Alert != "" {
			alerts[r.Alert] = append(alerts[r.Alert], r.Labels["severity"])
		}
	}
	panels := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			panels[d.Title+" → "+p.Title] = true
		}
	}
	dir := top + "/docs/runbooks"
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for alert, severities := range alerts {
		text, err := os.ReadFile(filepath.Join(dir, kebab(alert)+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		if want := "# " + alert + "\n\nSeverity: " + strings.Join(severities, " or ") + "."; !strings.HasPrefix(string(text), want) {
			t.Errorf("the page of %s does not begin with %q", alert, want)
		}
		if row := "| [" + alert + "](" + kebab(alert) + ".md) | " + strings.Join(severities, ", ") + " |"; !strings.Contains(string(index), row) {
			t.Errorf("the index lacks %s", row)
		}
		var have []string
		for _, found := range section.FindAllStringSubmatch(string(text), -1) {
			have = append(have, found[1])
		}
		if !slices.Equal(have, sections) {
			t.Errorf("the page of %s has the sections %v, want %v", alert, have, sections)
		}
	}
	paths, err := filepath.Glob(dir + "/*.md")
	if err != nil || len(paths) != len(alerts)+1 {
		t.Errorf("%d pages for %d alerts and an index: %v", len(paths), len(alerts), err)
	}
	named := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inPanel.FindAllStringSubmatch(string(text), -1) {
			if named++; !panels[found[1]+" → "+strings.Join(strings.Fields(found[2]), " ")] {
				t.Errorf("%s: there is no panel %s", path, found[0])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d panels are named: they are not looked for right", named)
	}
}
