// Package telemetrytest compares /metrics with the metrics that core/telemetry declares. It is for tests.
package telemetrytest

import (
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/core/telemetry"
)

// Check reads a page of /metrics as Prometheus does. It reports every family that is not declared, that differs from
// its declaration, or that the services declare and the page lacks.
func Check(t testing.TB, page string, services ...string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	shown, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("Prometheus cannot read /metrics: %v", err)
	}
	declared := map[string]telemetry.Family{}
	for _, f := range telemetry.Families(services...) {
		declared[f.Name] = f
		if shown[f.Name] == nil {
			t.Errorf("%s is declared and does not show up", f.Name)
		}
	}
	for name, family := range shown {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue // the library's own
		}
		f, ok := declared[name]
		if !ok {
			t.Errorf("%s is not declared in core/telemetry/families.go for %v", name, services)
			continue
		}
		if kind := strings.ToLower(family.GetType().String()); kind != string(f.Kind) {
			t.Errorf("%s is a %s, declared as a %s", name, kind, f.Kind)
		}
		if family.GetHelp() != f.Help {
			t.Errorf("%s has the help %q, declared is %q", name, family.GetHelp(), f.Help)
		}
		for _, m := range family.GetMetric() {
			if labels := labelsOf(m); labels != f.Labels {
				t.Errorf("%s has the labels %q, declared are %q", name, labels, f.Labels)
			}
		}
	}
}

// labelsOf are the names of a metric's labels in the order of the page.
func labelsOf(m *dto.Metric) string {
	var names []string
	for _, l := range m.GetLabel() {
		names = append(names, l.GetName())
	}
	return strings.Join(slices.Compact(names), " ")
}
