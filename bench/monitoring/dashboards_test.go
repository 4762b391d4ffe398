package monitoring

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// dashboard has the parts of a dashboard that the tests read.
type dashboard struct {
	UID, Title, Description string
	SchemaVersion           int
	Templating              struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ RefID, LegendFormat, Expr string }
}

type source struct{ Type, UID string }

// dashboards are all of deploy/grafana, as Grafana's own schema has them: it imports nothing that is missing, and
// ignores what is written wrong.
func dashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	paths, err := filepath.Glob(top + "/deploy/grafana/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no dashboards", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var schema grafana.Dashboard                                                  //nolint:staticcheck // SA1019: what is preferred is a form that only Grafana 12 and newer import
		if err := schema.UnmarshalJSONStrict(data); err != nil && err.Error() != "" { // it may be an empty list of errors
			t.Errorf("%s: %v", path, err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if want := "sluice-" + strings.TrimSuffix(filepath.Base(path), ".json"); d.UID != want {
			t.Errorf("%s has the uid %q, want %q", path, d.UID, want)
		}
		all = append(all, d)
	}
	return all
}

// grafanaUnits are those of Grafana's units that sluice's metrics have.
var grafanaUnits = []string{"short", "s", "bytes", "percentunit", "reqps", "ops"}

// TestDashboardsCanBeRead: each panel says in words what it shows, in a unit, in a place of its own.
func TestDashboardsCanBeRead(t *testing.T) {
	t.Parallel()
	prometheus := source{"prometheus", "${datasource}"}
	for _, d := range dashboards(t) {
		var names []string
		for _, v := range d.Templating.List {
			names = append(names, v.Name)
		}
		if !slices.Equal(names, []string{"datasource", "job", "instance"}) || d.Title == "" || d.Description == "" || d.SchemaVersion < 36 {
			t.Errorf("%s: variables %v, title %q, description %q, schema version %d", d.UID, names, d.Title, d.Description, d.SchemaVersion)
		}
		ids, titles := map[int]bool{}, map[string]bool{}
		for i, p := range d.Panels {
			where := d.Title + " → " + p.Title
			if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
				t.Errorf("%s: id %d or title is missing, or another panel's", where, p.ID)
			}
			ids[p.ID], titles[p.Title] = true, true
			if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: the description %q is no sentence", where, p.Description)
			}
			if !slices.Contains(grafanaUnits, p.FieldConfig.Defaults.Unit) || p.Datasource != prometheus || p.Type != "timeseries" {
				t.Errorf("%s: unit %q of %v, datasource %v, type %s", where, p.FieldConfig.Defaults.Unit, grafanaUnits, p.Datasource, p.Type)
			}
			at := p.GridPos
			if at.W <= 0 || at.H <= 0 || at.X < 0 || at.X+at.W > 24 {
				t.Errorf("%s is outside of the 24 columns: %+v", where, at)
			}
			for _, other := range d.Panels[:i] {
				o := other.GridPos
				if at.X < o.X+o.W && o.X < at.X+at.W && at.Y < o.Y+o.H && o.Y < at.Y+at.H {
					t.Errorf("%s lies on %s", where, other.Title)
				}
			}
			refs := map[string]bool{}
			for _, target := range p.Targets {
				if refs[target.RefID] || target.RefID == "" || target.LegendFormat == "" {
					t.Errorf("%s: refId %q, legend %q: each expression needs its own", where, target.RefID, target.LegendFormat)
				}
				refs[target.RefID] = true
				if strings.Contains(target.Expr, "sluice_") && strings.Count(target.Expr, `{`) != strings.Count(target.Expr, `job=~"$job", instance=~"$instance"}`) {
					t.Errorf("%s does not look at the chosen processes only: %s", where, target.Expr)
				}
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s shows nothing", where)
			}
		}
	}
}

var (
	// variables stand for what people choose, and are something that Prometheus can read.
	variables    = strings.NewReplacer("$__rate_interval", "5m", "$job", "sluice-edge", "$instance", "edge1")
	labelValues  = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	legendLabel  = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)
	messageLabel = regexp.MustCompile(`\$labels\.(\w+)`)
)

// expressions are all that operators see, of rules, panels and variables.
func expressions(t *testing.T) (all []expression) {
	t.Helper()
	shown := func(pattern *regexp.Regexp, text string) (labels []string) {
		for _, found := range pattern.FindAllStringSubmatch(text, -1) {
			labels = append(labels, found[1])
		}
		return labels
	}
	for _, r := range rules(t) {
		all = append(all, expression{cmp.Or(r.Alert, r.Record), r.Expr, shown(messageLabel, fmt.Sprint(r.Annotations))})
	}
	for _, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			found := labelValues.FindStringSubmatch(v.Query)
			if found == nil {
				t.Errorf("%s: the variable %s is no label_values(metric, label): %s", d.Title, v.Name, v.Query)
				continue
			}
			all = append(all, expression{d.Title + " $" + v.Name, variables.Replace(found[1]), found[2:]})
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all = append(all, expression{d.Title + " → " + p.Title, variables.Replace(target.Expr), shown(legendLabel, target.LegendFormat)})
			}
		}
	}
	return all
}

// TestDashboardsAreWhatPrometheusReads: the parser of the other tests also takes what only VictoriaMetrics reads.
func TestDashboardsAreWhatPrometheusReads(t *testing.T) {
	t.Parallel()
	type recorded struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var recordings []recorded
	for i, e := range expressions(t) {
		if strings.Contains(e.expr, "$") {
			t.Errorf("%s has a variable that it does not define: %s", e.where, e.expr)
		}
		recordings = append(recordings, recorded{fmt.Sprintf("test:expression:%d", i), e.expr})
	}
	file, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "all", "rules": recordings}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "expressions.json")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, servicetest.Program(t, local.FindPromtool), "check", "rules", path)
}
