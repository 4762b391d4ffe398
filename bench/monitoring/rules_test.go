package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oasdiff/yaml"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

const (
	top       = "../.."
	alertsDir = top + "/deploy/alerts"

	// amtool checks the file of Alertmanager: versions before 0.26 read no addresses from files.
	amtool = "github.com/prometheus/alertmanager/cmd/amtool@v0.28.1"
)

// rule records a figure or alerts.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// rules are all of deploy/alerts.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	readYAML(t, filepath.Join(alertsDir, "rules.yml"), &file)
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 20 {
		t.Fatalf("only %d rules found: they are not looked for right", len(all))
	}
	return all
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := yaml.Unmarshal(data, into, yaml.DecodeOpts{}); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// page is the path of a page of docs/ that an alert's address leads to.
func page(r rule) string {
	path, ok := strings.CutPrefix(r.Annotations["runbook_url"], "{{ $externalLabels.docs }}/")
	if !ok {
		return ""
	}
	return path
}

var (
	recordName = regexp.MustCompile(`^sluice:[a-z_]+:ratio_rate([0-9]+[mhd])$`)
	inner      = regexp.MustCompile(`[a-z]([A-Z])`)
)

// kebab is an alert's name as the name of its page.
func kebab(alert string) string {
	name := inner.ReplaceAllStringFunc(strings.TrimPrefix(alert, "Sluice"), func(s string) string { return s[:1] + "-" + s[1:] })
	return strings.ToLower(name)
}

// TestRulesFollowTheirForm: who is woken finds what it is about and what to do.
func TestRulesFollowTheirForm(t *testing.T) {
	t.Parallel()
	for _, r := range rules(t) {
		if r.Alert == "" {
			window := recordName.FindStringSubmatch(r.Record)
			if len(window) != 2 || strings.Count(r.Expr, "["+window[1]+"]") != strings.Count(r.Expr, "[") {
				t.Errorf("%s: want sluice:<what>:ratio_rate<window>, with that window only", r.Record)
			}
			continue
		}
		if !strings.HasPrefix(r.Alert, "Sluice") {
			t.Errorf("%s: names of alerts begin with Sluice", r.Alert)
		}
		if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s has the severity %q, want page or ticket", r.Alert, severity)
		}
		for _, name := range []string{"summary", "description"} {
			if text := r.Annotations[name]; len(text) < 10 || !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "}}") {
				t.Errorf("%s: %s %q is no sentence", r.Alert, name, text)
			}
		}
		if want := "runbooks/" + kebab(r.Alert) + ".md"; page(r) != want {
			t.Errorf("%s leads to %q, want %q", r.Alert, page(r), want)
		} else if _, err := os.Stat(filepath.Join(top, "docs", want)); err != nil {
			t.Errorf("%s leads nowhere: %v", r.Alert, err)
		}
	}
}

// TestRulesFire checks the rules with Prometheus' own tool, and runs their tests. Each rule has a test in which it
// fires and one in which it is silent.
func TestRulesFire(t *testing.T) {
	t.Parallel()
	type tested struct {
		Alertname string
		Exp       []struct {
			Labels map[string]string `json:"exp_labels"`
		} `json:"exp_alerts"`
	}
	var file struct {
		Tests []struct {
			Checks []tested `json:"alert_rule_test"`
		}
	}
	readYAML(t, filepath.Join(alertsDir, "rules_test.yml"), &file)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, check := range test.Checks {
			for _, fired := range check.Exp {
				fires[check.Alertname+" "+fired.Labels["severity"]] = true
			}
			silent[check.Alertname] = silent[check.Alertname] || len(check.Exp) == 0
		}
	}
	for _, r := range rules(t) {
		if name := r.Alert + " " + r.Labels["severity"]; r.Alert != "" && (!fires[name] || !silent[r.Alert]) {
			t.Errorf("%s: rules_test.yml has it fire %t, be silent %t; want both", name, fires[name], silent[r.Alert])
		}
	}

	promtool := servicetest.Program(t, local.FindPromtool)
	run(t, promtool, "check", "rules", "--lint-fatal", "rules.yml")
	run(t, promtool, "test", "rules", "rules_test.yml")
}

// TestRoutes checks the file with Alertmanager's own tool, and asks it which receiver gets which alert.
func TestRoutes(t *testing.T) {
	t.Parallel()
	tool := servicetest.Program(t, func() (string, error) { return local.GoTool(t.Context(), amtool) })
	run(t, tool, "check-config", "alertmanager.yml")
	for severity, want := range map[string]string{"page": "archive,phone,page", "ticket": "archive,ticket", "unheard-of": "archive,ticket"} {
		got := strings.TrimSpace(run(t, tool, "config", "routes", "test", "--config.file=alertmanager.yml", "alertname=SluiceX", "severity="+severity))
		if got != want {
			t.Errorf("severity %s goes to %s, want %s", severity, got, want)
		}
	}

	var file struct {
		Inhibit []struct {
			Source []string `json:"source_matchers"`
			Target []string `json:"target_matchers"`
		} `json:"inhibit_rules"`
	}
	readYAML(t, filepath.Join(alertsDir, "alertmanager.yml"), &file)
	known := map[string]bool{}
	for _, r := range rules(t) {
		known[r.Alert] = true
	}
	named := 0
	for _, in := range file.Inhibit {
		for _, matcher := range append(in.Source, in.Target...) {
			for _, name := range regexp.MustCompile(`Sluice\w+`).FindAllString(matcher, -1) {
				if named++; !known[name] {
					t.Errorf("alertmanager.yml names %s, which is no alert", name)
				}
			}
		}
	}
	if named < 5 {
		t.Errorf("alertmanager.yml names %d alerts: they are not looked for right", named)
	}
}

// run runs a tool in deploy/alerts and returns what it printed.
func run(t *testing.T, path string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = alertsDir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}
