package telemetry_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/telemetry"
	"sluice/core/telemetry/telemetrytest"
)

// units are the words that a name may end with: what Prometheus calls base units, and things that are counted.
var units = strings.Fields(`seconds bytes ratio info
	answers attempts calls cases cells connections edges entries events failures lookups messages partitions requests reservations rows
	baskets batches bases errors faults files findings false_positives gaps generations letters moves openings panics reads resets retries rounds sales sessions sweeps tasks units users verdicts webhooks workers`)

func TestFamiliesFollowTheirRule(t *testing.T) {
	t.Parallel()
	// None of a SKU, or of a user: their values are words of fixed sets, addresses of servers, or names of databases and of providers in a file.
	labels := strings.Fields("act op script verdict kind channel route outcome reader reason from ack state node server database owner provider queue fault class type topic direction sweep table version commit go")
	name := regexp.MustCompile(`^sluice_(core|edge|persister|catalog)_[a-z_]+$`)
	var before string
	for _, f := range telemetry.Families() {
		counter := strings.HasSuffix(f.Name, "_total")
		ofUnit := slices.ContainsFunc(units, func(unit string) bool { return strings.HasSuffix(strings.TrimSuffix(f.Name, "_total"), "_"+unit) })
		switch {
		case !name.MatchString(f.Name) || !ofUnit:
			t.Errorf("%s: want sluice_<service>_<thing>_<unit>[_total], with one of the units %v", f.Name, units)
		case counter != (f.Kind == telemetry.Counter):
			t.Errorf("%s is a %s: counters end with _total, and nothing else does", f.Name, f.Kind)
		case len(f.Help) < 10 || !strings.HasSuffix(f.Help, ".") || strings.ContainsAny(f.Help, "\n\\|"):
			t.Errorf("%s: help %q is not a sentence of one line", f.Name, f.Help)
		case slices.ContainsFunc(strings.Fields(f.Labels), func(label string) bool { return !slices.Contains(labels, label) }):
			t.Errorf("%s has the labels %q, known are %q", f.Name, f.Labels, labels)
		case f.Name == before:
			t.Errorf("%s is declared twice", f.Name)
		}
		before = f.Name
	}
}

func TestMetricsPageIsWhatPrometheusReads(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	for _, f := range telemetry.Families("core") {
		name := f.Name
		for i, label := range strings.Fields(f.Labels) {
			name += string("{,"[min(i, 1)]) + label + `="a \"b\" \\ c"`
		}
		if f.Labels != "" {
			name += "}"
		}
		switch {
		case f.Name == "sluice_core_build_info", f.Name == "sluice_core_readiness_info": // every page has them
		case f.Kind == telemetry.Counter:
			set.NewCounter(name).Inc()
		case f.Kind == telemetry.Gauge:
			set.NewGauge(name, func() float64 { return 0 })
		case f.Kind == telemetry.Histogram:
			telemetry.Seconds(set, name).Update(1)
		}
	}
	server := serve(t, set)
	_, page := get(t, "http://"+server.Addr()+"/metrics")
	telemetrytest.Check(t, page, "core")
	for line := range strings.Lines(page) {
		if len(strings.Fields(line)) == 3 && strings.HasPrefix(line, "# HELP ") {
			t.Errorf("a HELP line without a text: %q", line)
		}
	}
}
